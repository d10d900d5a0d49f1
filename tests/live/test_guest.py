"""What is done in a real machine (busybox, dropbear) of the private host: copy, deploy, collect, shell, services, and its bad days.

The tests share one machine and run in their order: the last ones take its keys and its power away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import REPO, Person, _clean, _home

INIT = """
domains:
  vm0:
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}]
    artifacts: [/etc/hostname, /var/log, /no/such]
    metadata: {deploy-scripts: [$PWD/good.sh, $PWD/bad.sh]}
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 254}}
"""
ODD = ("-rf", "two\nlines", "..x", "*?[x]$(id)'\"")


@pytest.fixture(scope="module")
def lab(live_folder: Path, ordinary_user: tuple[str, tuple[str, ...]], store: Path) -> Iterator[Person]:
    """An ordinary user with one machine that lets us in."""
    name, switch = ordinary_user
    person = Person(name, _home(live_folder, "guest", name), "private", store, switch)
    person.write("LagoInitFile", INIT.replace("$PWD", str(person.home)))
    person.write("good.sh", "echo deployed > /root/deployed\n")
    person.write("bad.sh", "echo cannot go on; exit 4\n")
    person.lago("up")
    yield person
    person.lago("destroy", "-y")
    _clean(person)


def out(person: Person, name: str) -> Path:
    """Return where something comes from a machine: nothing is there."""
    folder = person.home / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tree(person: Person, name: str) -> Path:
    """Make a folder of the user's with odd names, a program and links."""
    folder = person.home / name
    (folder / "inner").mkdir(parents=True)
    for odd in ODD:
        (folder / odd).write_text(odd)
    (folder / "inner" / "program").write_text("#!/bin/sh\n")
    (folder / "inner" / "program").chmod(0o750)
    (folder / "link").symlink_to("/etc/passwd")
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "--no-dereference", person.name, str(folder)], check=True)
    return folder


def test_a_tree_goes_there_and_comes_back_as_it_was(lab: Person) -> None:
    folder = tree(lab, "tree")
    lab.lago("copy-to-vm", "vm0", str(folder), "/root")
    back = out(lab, "back")
    lab.lago("copy-from-vm", "vm0", "/root/tree", str(back))
    assert sorted(path.name for path in back.iterdir()) == sorted([*ODD, "inner", "link"])
    assert all((back / odd).read_text() == odd for odd in ODD)
    assert (back / "inner" / "program").stat().st_mode & 0o777 == 0o750
    assert (back / "link").readlink() == Path("/etc/passwd")


def test_a_guest_without_an_sftp_server_is_copied_to_and_from_by_scp(lab: Person) -> None:
    lab.lago("shell", "vm0", "mv /usr/lib/openssh/sftp-server /root/; mkdir -p /root/plain/in; echo x > /root/plain/in/file")
    try:
        back = out(lab, "plain")
        lab.lago("copy-from-vm", "vm0", "/root/plain", str(back))
        assert (back / "in" / "file").read_text() == "x\n"
        lab.lago("copy-to-vm", "vm0", str(back), "/root/again")
        assert lab.lago("shell", "vm0", "cat /root/again/in/file") == "x\n"
    finally:
        lab.lago("shell", "vm0", "mv /root/sftp-server /usr/lib/openssh/")


def test_many_small_files_are_no_trouble(lab: Person) -> None:
    lab.lago("shell", "vm0", "mkdir /root/many; cd /root/many; for i in $(seq 500); do echo $i > f$i; done")
    back = out(lab, "many")
    lab.lago("copy-from-vm", "vm0", "/root/many", str(back))
    assert {path.name: path.read_text() for path in back.iterdir()} == {f"f{i}": f"{i}\n" for i in range(1, 501)}


def test_a_killed_copy_leaves_nothing_half_written_and_the_next_one_succeeds(lab: Person) -> None:
    big = lab.home / "big"
    with big.open("wb") as content:
        content.truncate(40_000_000)
    copy = lab.popen("--run", "copy-to-vm", "vm0", str(big), "/root/big")
    seen = "for i in $(seq 200); do ls /root/.lagotui-*.part 2>/dev/null && exit; usleep 50000; done; exit 1"
    lab.lago("shell", "vm0", seen)
    copy.send_signal(signal.SIGKILL)
    copy.communicate()
    assert lab.lago("shell", "vm0", "ls /root/big 2>/dev/null || echo none") == "none\n"
    lab.lago("copy-to-vm", "vm0", str(big), "/root/big")
    assert lab.lago("shell", "vm0", "stat -c %s /root/big; ls -A /root | grep -c part; rm /root/big") == "40000000\n0\n"


def test_deploy_stops_at_the_script_that_fails(lab: Person) -> None:
    said = lab.lago("deploy", code=2)
    assert "bad.sh' ended with exit code 4" in said
    assert "cannot go on" in said
    assert lab.lago("shell", "vm0", "cat /root/deployed") == "deployed\n"


def test_collect_fetches_what_is_there(lab: Person) -> None:
    target = out(lab, "artifacts")
    lab.lago("collect", "--output", str(target))
    assert sorted(path.name for path in (target / "vm0").iterdir()) == ["_etc_hostname", "_var_log"]
    assert (target / "vm0" / "_etc_hostname").read_text() == "vm0\n"
    assert "there is no '/no/such' in 'vm0'" in lab.lago("collect", "--output", str(target), "--no-skip", code=2)


def test_the_shell_gives_what_the_machine_says_and_nothing_else(lab: Person) -> None:
    command = lab.command("--run", "shell", "vm0", "cat; printf '\\377'; echo err >&2; exit 3")
    environ = {**lab.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, input=b"in\n", capture_output=True, cwd=lab.home, env=environ, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in\n\xff", b"err\n")


def test_services_stop_and_start(lab: Person) -> None:
    lab.lago("service", "vm0", "qemu-guest-agent", "stop")
    assert lab.lago("service", "vm0", "qemu-guest-agent") == "inactive\n"
    lab.lago("service", "vm0", "qemu-guest-agent", "start")
    assert lab.lago("service", "vm0", "qemu-guest-agent") == "active\n"
    assert lab.lago("service", "vm0", "nothing-of-this-name") == "missing\n"


def test_a_machine_that_takes_our_key_no_more_is_told(lab: Person) -> None:
    lab.lago(
        "shell",
        "vm0",
        "(sleep 12; mv /root/.ssh/taken /root/.ssh/authorized_keys) >/dev/null 2>&1 & mv /root/.ssh/authorized_keys /root/.ssh/taken",
    )
    assert "refuses user 'root' with " in lab.lago("copy-from-vm", "vm0", "/etc/hosts", str(lab.home), code=2)
    lab.lago("status")


def test_a_machine_that_is_switched_off_meanwhile_ends_a_copy(lab: Person) -> None:
    deadline_s = time.monotonic() + 60
    while (
        "refuses" in _said(lab, "shell", "vm0", "dd if=/dev/zero of=/root/big bs=1M count=50 2>/dev/null") and time.monotonic() < deadline_s
    ):
        pass
    target = lab.home / "cut"
    copy = lab.popen("--run", "copy-from-vm", "vm0", "/root/big", str(target))
    while not list(lab.home.glob(".lagotui-*.part")) and copy.poll() is None:
        time.sleep(0.02)
    lab.popen("--run", "shell", "vm0", "poweroff -f </dev/null >/dev/null 2>&1 &").communicate(timeout=120)
    _, said = copy.communicate(timeout=60)
    assert copy.returncode == 2, said
    assert "'vm0' is down" in said
    assert not target.exists()
    assert not list(lab.home.glob(".lagotui-*.part"))
    assert "'vm0' is down" in lab.lago("copy-to-vm", "vm0", str(lab.home / "LagoInitFile"), "/", code=2)


def _said(person: Person, *words: str) -> str:
    _, said = person.popen("--run", *words).communicate(timeout=120)
    return str(said)
