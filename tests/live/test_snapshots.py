"""Snapshots on real machines: with and without memory, back and forth, merged under a running machine, and on bad days."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.live.conftest import Person

TWO = """
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 200}}
domains:
  one: &machine
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}]
  two: *machine
"""
LATE_S = 30
"""A clock that was not set is behind by the age of its checkpoint, or by far more; one that was is off by what a login takes."""


@pytest.fixture(scope="module")
def lab(ordinary_for_module: Person) -> Iterator[Person]:
    """A user with two running machines, which the tests of this module share."""
    person = ordinary_for_module
    person.write("LagoInitFile", TWO)
    person.lago("up")
    yield person
    person.lago("destroy", "-y")


def state(person: Person, machine: str = "one") -> str:
    return person.lago("shell", machine, "cat /root/state").strip()


def write(person: Person, word: str, machine: str = "one") -> None:
    person.lago("shell", machine, f"echo {word} > /root/state; sync")


def statuses(person: Person) -> dict[str, str]:
    return {name: machine["status"] for name, machine in person.status()["VMs"].items()}


def images(person: Person, machine: str = "one") -> list[str]:
    return sorted(path.name for path in (person.home / ".lago/default/images").glob(f"{machine}_*"))


def test_a_checkpoint_brings_back_processes_disks_and_the_clock(lab: Person) -> None:
    write(lab, "then")
    lab.lago("shell", "one", "sleep 4242 </dev/null >/dev/null 2>&1 & echo $! > /root/pid; sync")
    boot = lab.lago("shell", "one", "cat /proc/sys/kernel/random/boot_id")
    lab.lago("snapshot", "--memory", "cp")
    assert statuses(lab) == {"one": "running", "two": "running"}
    write(lab, "later")
    lab.lago("shell", "one", "kill $(cat /root/pid)")
    lab.lago("stop", "two")
    lab.lago("revert", "cp")
    assert lab.lago("shell", "one", "cat /proc/sys/kernel/random/boot_id") == boot
    assert lab.lago("shell", "one", "tr '\\0' ' ' < /proc/$(cat /root/pid)/cmdline").strip() == "sleep 4242"
    assert state(lab) == "then"
    seconds = float(lab.lago("shell", "two", "date -u +%s"))
    assert abs(datetime.now(UTC).timestamp() - seconds) < LATE_S


def test_branches_are_kept_apart_and_merged_under_running_machines(lab: Person) -> None:
    write(lab, "b")
    lab.lago("snapshot", "b", "one")
    write(lab, "c")
    lab.lago("snapshot", "c", "one")
    lab.lago("revert", "cp", "one")
    assert state(lab) == "then"
    write(lab, "d")
    lab.lago("snapshot", "--memory", "d", "one")
    tree = json.loads(lab.lago("-f", "json", "snapshot", "--tree"))["one"]
    assert {name: about["parent"] for name, about in tree.items()} == {"cp": None, "b": "cp", "c": "b", "d": "cp"}
    assert [name for name, about in tree.items() if about["current"]] == ["d"]
    for name in ("cp", "b"):  # the first is stood on twice, the second is not in use
        lab.lago("snapshot", "--delete", name, "one")
    write(lab, "e")
    lab.lago("revert", "d", "one")
    assert state(lab) == "d"
    for name in ("c", "d"):  # what the machine runs on becomes one image, under it
        lab.lago("snapshot", "--delete", name, "one")
    assert state(lab) == "d"
    assert len(images(lab)) == 1
    assert list((lab.home / ".lago/default/memory/one").iterdir()) == []


def test_without_an_agent_the_guest_is_synced_by_ssh(lab: Person) -> None:
    lab.lago("shell", "one", "kill -9 $(pidof qemu-ga); echo unsynced > /root/state")
    process = lab.popen("--run", "-l", "info", "snapshot", "quiet", "one")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "synced by ssh" in said or "power cut" not in said  # the guest may have started its agent again
    lab.lago("revert", "quiet", "one")
    lab.lago("up")
    assert state(lab) == "unsynced"
    lab.lago("snapshot", "--delete", "quiet")


def test_a_lost_memory_or_image_is_told_and_nothing_stops(lab: Person) -> None:
    lab.lago("snapshot", "--memory", "--force", "cp")
    (memory,) = (lab.home / ".lago/default/memory/two").iterdir()
    memory.rename(memory.with_suffix(".away"))
    assert "nothing was changed" in lab.lago("revert", "cp", code=2)
    memory.with_suffix(".away").rename(memory)
    with memory.open("r+b") as content:
        content.truncate(100_000)
    said = lab.lago("revert", "cp", code=2)
    assert "two" in said
    assert statuses(lab) == {"one": "running", "two": "running"}
    assert len(images(lab, "two")) == 2
    lab.lago("up")  # they were started again on the disks that they had


def test_a_checkpoint_brings_back_who_was_up_and_who_was_down(lab: Person) -> None:
    lab.lago("snapshot", "--memory", "--force", "cp")
    lab.lago("stop", "two")
    lab.lago("revert", "cp")
    assert statuses(lab) == {"one": "running", "two": "running"}
    lab.lago("stop", "two")
    lab.lago("snapshot", "--memory", "half")
    lab.lago("start", "two")
    lab.lago("revert", "half")
    assert statuses(lab) == {"one": "running", "two": "down"}


def test_a_kill_in_a_checkpoint_leaves_all_or_nothing(lab: Person) -> None:
    for delay_s in (0.4, 0.7, 1.0):
        process = lab.popen("--run", "snapshot", "--memory", "killed")
        time.sleep(delay_s)  # the point is to hit the run anywhere
        process.kill()
        process.communicate(timeout=20)
        lab.lago("recover")
        taken = {name for name, snapshots in json.loads(lab.lago("-f", "json", "snapshot", "-l")).items() if "killed" in snapshots}
        assert taken in (set(), {"one", "two"})
        assert "paused" not in statuses(lab).values()
        if taken:
            lab.lago("snapshot", "--delete", "killed")
    assert not list(Path(lab.home / ".lago/default/memory").rglob("killed*"))
