"""plan, generate-init, leases, and `up` of a changed init file, as a user at a terminal sees them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.headless.terminal_user import INIT_FILE, Lago

GOLDEN = Path(__file__).parent / "golden"
CLUSTER = """
domains:
  db:
    memory: 512
    vcpu: 2
    nics: [{net: lan}, {net: storage}]
    disks:
      - {name: root, type: empty, dev: vda, size: 4G, format: qcow2}
      - {name: data, type: empty, dev: vdb, size: 1G, format: raw}
    ready: {log: "login:", timeout_sec: 5}
  web:
    memory: 256
    vcpu: 1
    depends_on: [db]
    nics: [{net: lan, ip: 192.168.210.80}]
    disks: [{name: root, type: empty, dev: vda, size: 2G, format: qcow2}]
nets:
  lan: {type: nat, management: true, gw: 192.168.210.1, dhcp: {start: 100, end: 254}, dns_domain_name: shop.test}
  storage: {type: bridge}
"""
CHANGED = (
    CLUSTER.replace("memory: 256", "memory: 300")
    .replace("size: 1G", "size: 500M")
    .replace("dhcp: {start: 100", "dhcp: {start: 120")
    .replace("nets:\n", "  lb: {memory: 64, nics: [{net: lan}], disks: []}\nnets:\n")
)


def same_everywhere(text: str, here: Path) -> str:
    """Return a plan without what belongs to this machine: paths, room, and what ran here before."""
    text = re.sub(r"of [\d.]+ \w*B available", "of PLENTY available", text.replace(str(here), "/here"))
    return re.sub(r"about .*", "about A WHILE", text)


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [("new", "", CLUSTER), ("changed", CLUSTER, CHANGED), ("same", CLUSTER, CLUSTER)],
    ids=["new", "changed", "same"],
)
def test_a_plan_reads_like_this(name: str, first: str, then: str, lago: Lago) -> None:
    if first:
        Path("LagoInitFile").write_text(first)
        assert lago("init").code == 0
    Path("LagoInitFile").write_text(then)
    outcome = lago("plan")
    assert outcome.code == 0
    assert same_everywhere(outcome.out, Path.cwd()) == (GOLDEN / f"plan_{name}.txt").read_text()


def test_planning_leaves_nothing_behind(lago: Lago) -> None:
    Path("mine.yaml").write_text(CLUSTER)
    assert lago("plan", "mine.yaml").code == 0
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]
    assert lago("leases").out == ""


def test_a_plan_as_json_says_the_same(lago: Lago) -> None:
    Path("LagoInitFile").write_text(CLUSTER)
    data = json.loads(lago("-f", "json", "plan").out)
    assert data["nets"]["lan"]["subnet"] == "192.168.210.0/24"
    assert data["machines"]["web"]["nics"] == [{"net": "lan", "ip": "192.168.210.80"}]
    assert data["machines"]["db"]["disks"]["root"]["size_bytes"] == 4 * 1024**3
    assert data["memory_mib"]["needed"] == 768
    assert yaml.safe_load(lago("-f", "yaml", "plan").out)["steps"] == data["steps"]
    assert "machines/web/memory_mib: 256\n" in lago("-f", "flat", "plan").out


def test_an_init_file_with_errors_cannot_be_planned(lago: Lago) -> None:
    Path("LagoInitFile").write_text(CLUSTER.replace("net: storage", "net: nowhere"))
    outcome = lago("plan")
    assert (outcome.code, outcome.out) == (2, "")
    assert "LagoInitFile:6:" in outcome.err


def test_up_of_a_changed_file_refuses_to_lose_anything_without_a_terminal(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    assert lago("up").code == 0
    Path("LagoInitFile").write_text(INIT_FILE.replace("  web-vm1: *vm\n", ""))
    outcome = lago("up")
    assert outcome.code == 2
    assert "machine 'web-vm1': everything on its disks (root)" in outcome.err
    assert set(json.loads(lago("-f", "json", "status").out)["Prefix"]["VMs"]) == {"vm0", "web-vm1"}
    assert lago("up", "--yes").code == 0
    assert set(json.loads(lago("-f", "json", "status").out)["Prefix"]["VMs"]) == {"vm0"}


class Terminal(io.StringIO):
    """Somebody types at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "left"), [("y\n", {"vm0"}), ("\n", {"vm0", "web-vm1"}), ("", {"vm0", "web-vm1"})])
def test_up_of_a_changed_file_asks_at_a_terminal(typed: str, left: set[str], made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("LagoInitFile").write_text(INIT_FILE.replace("  web-vm1: *vm\n", ""))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    outcome = made("up")
    assert outcome.code == 0
    assert "- remove machine web-vm1" in outcome.err
    assert "Go on? [y/N]" in outcome.err
    assert set(json.loads(made("-f", "json", "status").out)["Prefix"]["VMs"]) == left


def test_up_reads_the_file_again_that_the_environment_was_made_from(lago: Lago) -> None:
    Path("LagoInitFile").write_text("domains: {}\nnets: {}\n")
    Path("mine.yaml").write_text(INIT_FILE)
    assert lago("up", "mine.yaml").code == 0
    Path("mine.yaml").write_text(INIT_FILE.replace("memory: 64", "memory: 96"))
    assert lago("up").code == 0
    assert json.loads(Path(".lago/default/virt/vm-vm0").read_text())["memory"] == 96


def test_up_with_a_named_file_that_is_not_there_is_exit_2(made: Lago) -> None:
    assert made("up", "typo.yaml").code == 2


def test_a_generated_file_is_an_init_file(made: Lago) -> None:
    Path("other.yaml").write_text(made("generate-init").out)
    assert made("check", "other.yaml").code == 0
    assert made("destroy", "-y").code == 0
    assert made("init", "other.yaml").code == 0


def test_paths_are_left_out_of_a_generated_file(made: Lago) -> None:
    data = json.loads(made("-f", "json", "generate-init", "domains/*/disks", "nets/lan/gw").out)
    assert "disks" not in data["domains"]["vm0"]
    assert data["nets"]["lan"] == {"type": "nat", "management": True}


def test_leases_name_their_holder_and_mark_those_of_nobody(made: Lago) -> None:
    held = {"prefix": str(Path(".lago/default").absolute()), "state": "held"}
    found = json.loads(made("-f", "json", "leases").out)["192.168.210.0/24"]
    assert {key: found[key] for key in held} == held
    Path(".lago/default/uuid").unlink()
    assert json.loads(made("-f", "json", "leases").out)["192.168.210.0/24"]["state"] == "stale"
    assert "192.168.210.0/24/state: stale\n" in made("-f", "flat", "leases").out
