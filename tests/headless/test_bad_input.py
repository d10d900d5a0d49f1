"""What a user is told who makes a mistake: the place, the cause, the next step, exit code 2, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.state.home import state_home
from tests.headless.terminal_user import INIT_FILE, Lago, Outcome


def left_behind(lago: Lago) -> list[str]:
    """Return everything that a failed verb could have forgotten."""
    prefixes = [str(path) for path in Path(".lago").rglob("*")]
    leases = [path.name for path in (Path.cwd().parent / "subnets").glob("*.lease")]
    ours = [str(path) for folder in ("journal", "environments") for path in (state_home() / folder).rglob("*")]
    return [*prefixes, *leases, *ours, *map(str, lago.host.machines), *map(str, lago.host.nets)]


def refused(lago: Lago, text: str, *words: str) -> Outcome:
    """Run a verb with an init file, expect that it is refused without a trace, and return what was said."""
    Path("LagoInitFile").write_text(text)
    outcome = lago(*(words or ("init",)))
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert "Traceback" not in outcome.err
    assert left_behind(lago) == []
    return outcome


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        (("memory: 64", "memroy: 64"), "LagoInitFile:4:5", "did you mean 'memory'"),
        (("memory: 64", "memory: lots"), "LagoInitFile:4:", "memory"),
        (("net: lan", "net: lna"), "LagoInitFile:6:", "lan"),
        (("type: empty", "type: emtpy"), "LagoInitFile:5:", "empty"),
        (("type: nat", "type: nta"), "LagoInitFile:9:", "nat"),
        (("type: empty, dev: vda, size: 1M", "type: template, dev: vda, template_name: tinny"), "LagoInitFile:5:", "tiny"),
        (("vm0: &vm", "vm0: 1\n  vm1: &vm"), "LagoInitFile:3:", "vm0"),
    ],
    ids=["unknown key", "wrong type", "unknown net", "unknown kind of disk", "unknown kind of net", "unknown template", "no machine"],
)
def test_a_mistake_in_the_init_file_is_placed(change: tuple[str, str], place: str, said: str, lago: Lago) -> None:
    outcome = refused(lago, INIT_FILE.replace(*change))
    assert place in outcome.err
    assert said in outcome.err


def test_two_machines_with_one_address_are_both_named(lago: Lago) -> None:
    fixed = INIT_FILE.replace("net: lan}", "net: lan, ip: 192.168.210.7}")
    outcome = refused(lago, fixed)
    assert "192.168.210.7" in outcome.err
    assert "vm0" in outcome.err
    assert "web-vm1" in outcome.err


@pytest.mark.parametrize("text", ["domains: [", "\tdomains: {}", "a: b: c", "\0", "{'one': 1", "domains: *nowhere"])
def test_what_is_not_yaml_is_placed(text: str, lago: Lago) -> None:
    assert "LagoInitFile:1:" in refused(lago, text).err


@pytest.mark.parametrize("text", ["", "[]", "just words", "42", "nets: {}\ndomains: {}"])
def test_what_is_no_environment_is_told_so(text: str, lago: Lago) -> None:
    assert "LagoInitFile" in refused(lago, text).err


def test_a_json_init_file_is_as_good(lago: Lago) -> None:
    nets = {"lan": {"type": "nat", "management": True}}
    disks = [{"name": "root", "type": "empty", "dev": "vda", "size": "1M", "format": "qcow2"}]
    machine = {"memory": "64", "disks": disks, "nics": [{"net": "lan"}]}
    Path("LagoInitFile").write_text(json.dumps({"domains": {"vm0": machine}, "nets": nets}))
    assert lago("init").code == 0


def test_an_init_file_that_is_a_folder_is_told_so(lago: Lago) -> None:
    Path("LagoInitFile").mkdir()
    outcome = lago("init")
    assert outcome.code == 2
    assert "LagoInitFile" in outcome.err
    assert left_behind(lago) == []


def test_an_init_file_of_no_text_is_told_so(lago: Lago) -> None:
    Path("LagoInitFile").write_bytes(b"domains: \xff\xfe")
    outcome = lago("init")
    assert outcome.code == 2
    assert "LagoInitFile" in outcome.err


def test_a_fixed_gateway_on_an_interface_of_the_host_names_the_network(lago: Lago) -> None:
    lago.host.subnets = frozenset({"192.168.208.0/22"})
    outcome = refused(lago, INIT_FILE)
    assert "192.168.210.1" in outcome.err
    assert "192.168.208.0/22" in outcome.err
    assert "  next: choose another gw" in outcome.err


def test_a_free_gateway_stays_clear_of_the_hosts_interfaces(lago: Lago) -> None:
    lago.host.subnets = frozenset({"192.168.200.0/24"})
    Path("LagoInitFile").write_text(INIT_FILE.replace(", gw: 192.168.210.1", ""))
    assert lago("init").code == 0
    assert "Networks/lan/gateway: 192.168.201.1\n" in lago("-f", "flat", "status").out


@pytest.mark.parametrize("gw", ["10.0.0.1", "192.168.255.1", "192.168.210.0", "192.168.210.999", "here"])
def test_a_gateway_that_cannot_be_is_refused(gw: str, lago: Lago) -> None:
    assert gw in refused(lago, INIT_FILE.replace("192.168.210.1", gw)).err


def test_a_template_with_a_wrong_hash_is_not_kept(lago: Lago) -> None:
    here, store = Path.cwd().parent, Path.cwd().parent / "store"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", here / "small.qcow2", "1M"], check=True)
    (here / "small.qcow2.hash").write_text("0" * 40)
    (here / "small.qcow2.metadata").write_text('{"cloud-init": true}')
    versions = {"v1": {"source": "disk", "handle": "small.qcow2", "timestamp": "1"}}
    sources = {"disk": {"type": "file", "args": {"root": str(here)}}}
    repo = here / "repo.json"
    repo.write_text(json.dumps({"name": "here", "sources": sources, "templates": {"small": {"versions": versions}}}))
    text = INIT_FILE.replace("type: empty, dev: vda, size: 1M, format: qcow2", "type: template, dev: vda, template_name: small")
    outcome = refused(lago, text, "init", "--template-repo-path", str(repo), "--template-store", str(store))
    assert "small" in outcome.err
    assert "0" * 40 in outcome.err
    assert [path.name for path in store.iterdir() if not path.name.endswith(".lock")] == []


def test_a_start_without_its_image_names_disk_and_image(made: Lago) -> None:
    image = Path(".lago/default/images/vm0_root.qcow2").absolute()
    image.unlink()
    outcome = made("start")
    assert outcome.code == 2
    assert f"the image '{image}' of disk 'root' is gone" in outcome.err
    assert made.host.machines == {}


@pytest.mark.parametrize("verb", [("start",), ("snapshot", "s1")])
@pytest.mark.parametrize("what", ["garbage", "folder", "fifo"])
def test_an_image_that_is_none_is_told_from_one(what: str, verb: tuple[str, ...], made: Lago) -> None:
    image = Path(".lago/default/images/vm0_root.qcow2")
    image.unlink()
    {"garbage": lambda: image.write_text("x" * 4096), "folder": image.mkdir, "fifo": lambda: subprocess.run(["mkfifo", image])}[what]()
    outcome = made(*verb)
    assert outcome.code == 2
    assert "disk 'root' is " in outcome.err
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []


@pytest.mark.parametrize("name", ["new\nline", "esc\x1b[31m", "bad\udcff"])
def test_a_folder_that_libvirt_cannot_be_told_is_refused(name: str, lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(name)
    here.mkdir()
    monkeypatch.chdir(here)
    assert "libvirt cannot be told such a path" in refused(lago, INIT_FILE).err


@pytest.mark.parametrize("name", ["sp ace", "ünï", "100%d%s", "quo'te\"s", "a:b,c", "back\\slash", "$HOME", "-dash", "&amp;<x>"])
def test_other_folders_are_fine(name: str, lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(name).mkdir()
    monkeypatch.chdir(name)
    Path("LagoInitFile").write_text(INIT_FILE)
    assert lago("up").code == 0
    assert lago("snapshot", "s1").code == 0
    assert lago("destroy", "-y").code == 0
    assert left_behind(lago) == []


def test_names_at_the_edge_of_what_is_allowed_work(lago: Lago) -> None:
    long = "vm-" + "x" * 60
    Path("LagoInitFile").write_text(INIT_FILE.replace("vm0", long))
    assert lago("up").code == 0
    assert f"VMs/{long}/status: running\n" in lago("-f", "flat", "status").out


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", "", "new\\nline", "x" * 300])
def test_names_beyond_it_are_refused(name: str, lago: Lago) -> None:
    refused(lago, INIT_FILE.replace("vm0", f'"{name}"'))


def test_twenty_machines_get_twenty_addresses(lago: Lago) -> None:
    more = "".join(f"  vm{number}: *vm\n" for number in range(1, 20))
    Path("LagoInitFile").write_text(INIT_FILE.replace("  web-vm1: *vm\n", more))
    assert lago("up").code == 0
    machines = json.loads(lago("-f", "json", "status").out)["Prefix"]["VMs"]
    assert len({machine["NICs"]["eth0"]["ip"] for machine in machines.values()}) == 20


def test_the_folder_that_is_gone_is_told_so(lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path.cwd().rmdir()
    outcome = lago("status")
    assert (outcome.code, outcome.out) == (2, "")
    assert "has been removed" in outcome.err


@pytest.mark.parametrize("out_format", ["default", "flat", "json", "yaml"])
def test_every_verb_takes_every_format(out_format: str, made: Lago) -> None:
    verbs = [("status",), ("list",), ("snapshot", "a"), ("snapshot", "--list"), ("recover",), ("stop",), ("destroy", "-y")]
    assert [made("-f", out_format, *words).code for words in verbs] == [0] * len(verbs)
