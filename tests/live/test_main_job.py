"""The main job on real machines, on both kinds of host: from nothing to ssh, to a snapshot and back, to nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.live.conftest import VERB_LIMIT_S, Person

HELLO = """
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 200}, dns_domain_name: lab.test}
domains:
  one: &machine
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}]
  two: *machine
"""
ONE = HELLO.replace("  two: *machine\n", "")


def hosts_networks() -> set[str]:
    """Return the names of the network interfaces of this machine."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_from_nothing_to_ssh_to_a_snapshot_and_back_to_nothing(person: Person) -> None:
    interfaces_before = hosts_networks()
    person.write("LagoInitFile", HELLO)
    person.lago("up")

    status = person.status()
    assert {name: vm["status"] for name, vm in status["VMs"].items()} == {"one": "running", "two": "running"}
    assert status["Networks"]["lab"]["status"] == "up"

    assert person.lago("shell", "one", "hostname").strip() == "one"
    assert status["VMs"]["one"]["NICs"]["eth0"]["ip"] in person.lago("shell", "one", "ip -4 addr show eth0")
    assert "bytes from" in person.lago("shell", "one", "ping -c 1 -W 5 two.lab.test")
    person.lago("shell", "two", "exit 7", code=7)

    person.lago("shell", "one", "echo before > /root/state; sync")
    person.lago("snapshot", "clean")
    person.lago("shell", "one", "echo after > /root/state; sync")
    assert person.lago("shell", "one", "cat /root/state").strip() == "after"
    person.lago("revert", "clean")
    person.lago("up")
    assert person.lago("shell", "one", "cat /root/state").strip() == "before"

    person.lago("stop")
    assert {vm["status"] for vm in person.status()["VMs"].values()} == {"down"}
    person.lago("snapshot", "off")
    person.lago("start", "one")
    person.lago("destroy", "-y")

    assert not (person.home / ".lago").exists()
    assert list((person.home / "subnets").glob("*.lease")) == []
    assert person.wait_gone() == []
    assert hosts_networks() == interfaces_before


def test_up_twice_is_quick_and_changes_nothing(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("up")
    uuid = ordinary.status()["UUID"]
    ordinary.lago("up")
    assert ordinary.status()["UUID"] == uuid


def test_a_script_on_stdin_or_in_a_file_runs_in_the_machine(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("up")
    script = ordinary.write("script.sh", "echo from-$(hostname); exit 3\n")
    ordinary.lago("shell", "one", str(script), code=3)
    assert ordinary.lago("shell", "one", "cat", stdin="through\n") == "through\n"


def test_a_machine_that_answers_with_another_host_key_is_refused(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("up")
    known_hosts = ordinary.home / ".lago" / "default" / "known_hosts"
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIGXrPjxQvH2MTVyCJEiZ2k7SjEYRVQ1hfpTnRAvBTxuR"
    known_hosts.write_text("".join(f"{line.split()[0]} ssh-ed25519 {other}\n" for line in known_hosts.read_text().splitlines()))
    said = ordinary.lago("shell", "one", "true", code=2)
    assert "host key" in said.lower()


@pytest.mark.parametrize(
    ("verb", "moment", "left"), [("up", "Create disks", None), ("start", "Starting VM one", "down"), ("up", "Wait for ssh", "running")]
)
def test_ctrl_c_rolls_back_what_has_not_come_to_its_end(ordinary: Person, verb: str, moment: str, left: str | None) -> None:
    ordinary.write("LagoInitFile", ONE)
    if verb == "start":
        ordinary.lago("init")
    process = ordinary.popen("--run", verb)
    assert process.stderr is not None
    assert any(moment in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=VERB_LIMIT_S)
    assert process.returncode == 130
    if left is None:
        assert not (ordinary.home / ".lago").exists()
    else:
        assert ordinary.status()["VMs"]["one"]["status"] == left
        ordinary.lago("destroy", "-y")
    assert ordinary.wait_gone() == []


@pytest.mark.parametrize("verb", ["init", "start", "snapshot", "revert", "stop", "destroy"])
def test_a_kill_9_in_the_middle_loses_nothing_and_leaves_nothing(ordinary: Person, verb: str) -> None:
    ordinary.write("LagoInitFile", HELLO)
    if verb != "init":
        ordinary.lago("init")
    if verb in ("snapshot", "revert", "stop", "destroy"):
        ordinary.lago("start")
    if verb == "revert":
        ordinary.lago("snapshot", "s1")
    words = {"destroy": ("destroy", "-y"), "snapshot": ("snapshot", "s1"), "revert": ("revert", "s1")}.get(verb, (verb,))

    for delay_s in (0.25, 0.4, 0.6):
        process = ordinary.popen("--run", *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay_s)  # the point is to hit the run anywhere
        process.kill()
        process.wait(20)
        if verb == "snapshot":
            ordinary.lago("recover")
            words = ("snapshot", f"s{delay_s}")

    if (ordinary.home / ".lago" / "default").exists() and verb != "destroy":
        ordinary.lago("recover")
    if verb == "destroy" and (ordinary.home / ".lago" / "default").exists():
        ordinary.lago("destroy", "-y")
    if not (ordinary.home / ".lago" / "current").exists():
        ordinary.lago("init")
    ordinary.lago("start")
    assert {vm["status"] for vm in ordinary.status()["VMs"].values()} == {"running"}
    ordinary.lago("destroy", "-y")
    assert not (ordinary.home / ".lago").exists()
    assert list((ordinary.home / "subnets").glob("*.lease")) == []
    assert ordinary.wait_gone() == []


def test_two_inits_at_once_make_one_environment(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    both = [ordinary.popen("--run", "init") for _ in range(2)]
    said = [process.communicate(timeout=VERB_LIMIT_S)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    assert re.search(r"in use|there already", "".join(said))
    ordinary.lago("destroy", "-y")


def test_a_machine_that_never_answers_is_explained(ordinary: Person) -> None:
    empty = ONE.replace("vcpu: 1", "vcpu: 1\n    boot_time_sec: 12").replace("template_name: tiny, type: template", "type: empty, size: 1G")
    ordinary.write("LagoInitFile", empty)
    said = ordinary.lago("up", code=2)
    assert "did not let us in by ssh within 12 s" in said
    assert "running" in said
