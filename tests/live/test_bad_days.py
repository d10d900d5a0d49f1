"""Bad days on real hosts: what a user is told, that the next verb works, and that destroy leaves nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.conftest import REPO, VERB_LIMIT_S, Person
from tests.live.test_main_job import HELLO, ONE, hosts_networks

KILLS = 4
"""Kills at random points that the suite can afford; the moments were tried by the hundred."""


def left_behind(person: Person) -> list[str]:
    """Return everything of the person's environments that is still somewhere."""
    state = person.home / ".local" / "state" / "lagotui"
    ours = [path for folder in ("journal", "environments") for path in (state / folder).rglob("*")]
    parts = [path for path in person.home.rglob("*") if path.name.endswith((".part", ".new", ".tmp"))]
    found = [person.home / ".lago", *(person.home / "subnets").glob("*.lease"), *ours, *parts]
    return [*(str(path) for path in found if path.exists()), *person.wait_gone()]


def fails(person: Person, *words: str) -> str:
    """Run a verb that must be refused; return what was said."""
    said = person.lago(*words, code=2)
    assert "Traceback" not in said
    return said


def machines(person: Person) -> set[str]:
    return {machine["status"] for machine in person.status()["VMs"].values()}


def make_and_start(person: Person) -> None:
    """Put right what a killed run left, make the environment if it is not there, start it."""
    if (person.home / ".lago" / "default").exists():
        person.lago("recover")
    if not (person.home / ".lago").exists():
        person.lago("init")
    person.lago("start")


def pids_of(person: Person, text: str) -> list[int]:
    """Return the processes of a person whose command line has `text` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(person.home) in line and text in line:
                found.append(int(entry.name))
    return found


def end_world(person: Person) -> None:
    """Kill process 1 of a person's private host, and with it everything inside."""
    for pid in pids_of(person, "world_init.py"):
        os.kill(pid, signal.SIGKILL)
    assert not [line for line in person.wait_gone() if "world_init.py" in line or "guest=" in line]


@pytest.fixture
def running(ordinary: Person) -> Person:
    """An ordinary user with one running machine, which need not answer yet."""
    ordinary.write("LagoInitFile", ONE)
    make_and_start(ordinary)
    return ordinary


# --- hosts that are not to be had --------------------------------------------------------------------------------


def test_the_private_host_takes_over_and_says_why(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    process = replace(ordinary, host="auto").popen("--run", "init")
    _, said = process.communicate(timeout=VERB_LIMIT_S)
    assert process.returncode == 0
    assert "your own private libvirt, because 'qemu:///system' cannot be used: " in said
    assert '"lagotui_host": "private"' in (ordinary.home / ".lago/default/metadata").read_text()
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []


def test_a_system_host_that_is_closed_is_told_with_both_ways_out(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    said = fails(replace(ordinary, host="system"), "init")
    assert "cannot use 'qemu:///system': " in said
    assert "--libvirt_url private" in said
    assert left_behind(ordinary) == []


def test_forbidden_user_namespaces_are_told_with_the_fix(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("init")
    # the limit holds in the user namespace that it is set in: the host keeps its own
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    switch = (*ordinary.switch, "unshare", "--user", "--map-current-user", "--keep-caps", "--", "sh", "-c", forbid, "sh")
    said = fails(replace(ordinary, switch=switch), "start")
    assert "forbids user namespaces to ordinary users" in said
    assert "sudo sysctl -w user.max_user_namespaces=" in said
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []


@pytest.fixture
def occupied(on_system: Person) -> Iterator[Person]:
    """A user of the system's host, where an interface has the first subnet of all."""
    if os.geteuid() != 0:
        pytest.skip("only root can make interfaces")
    subprocess.run(["ip", "link", "add", "lt-taken", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "192.168.200.77/24", "dev", "lt-taken"], check=True)
        subprocess.run(["ip", "link", "set", "lt-taken", "up"], check=True)
        yield on_system
    finally:
        subprocess.run(["ip", "link", "del", "lt-taken"], check=True)


def test_a_subnet_of_the_hosts_is_not_chosen(occupied: Person) -> None:
    occupied.write("LagoInitFile", ONE)
    occupied.lago("init")
    assert occupied.status()["Networks"]["lab"]["gateway"] != "192.168.200.1"
    occupied.lago("start")
    occupied.lago("destroy", "-y")


def test_a_gateway_in_a_subnet_of_the_hosts_is_refused_with_that_subnet(occupied: Person) -> None:
    occupied.write("LagoInitFile", ONE.replace("type: nat,", "type: nat, gw: 192.168.200.1,"))
    said = fails(occupied, "init")
    assert "192.168.200.0/24" in said
    assert "choose another gw" in said
    assert left_behind(occupied) == []


# --- a full disk -------------------------------------------------------------------------------------------------

FULL_DISK = """
mount -t tmpfs -o size=2m,mode=777 none "$HOME" && cd "$HOME" && printf %s "$INIT_FILE" >LagoInitFile
lago() { "$PYTHON" -m lagotui --run "$@"; echo "$1: $?"; }
left() { find "$HOME" -name '*.jsonl' -o -name '*.lease' -o -name '*.part' -o -name '*.new' -o -name .lago; }
for room in 200 100 40 8 0; do
    head -c "$((2000 - room))k" /dev/zero >fill
    lago init; left; rm fill
done
lago init
cat /dev/zero >fill
lago snapshot s1; lago stop; lago recover; lago destroy -y; left
"""


def test_a_full_disk_is_named_and_leaves_nothing_and_destroy_makes_room(ordinary: Person) -> None:
    root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    environ = {**ordinary.environ, "INIT_FILE": ONE, "PYTHON": sys.executable, "PYTHONPATH": str(REPO)}
    command = ["unshare", *root, "--mount", "sh", "-c", FULL_DISK]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=VERB_LIMIT_S)
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert "free some space" in done.stderr
    assert done.stdout.split("\n") == ["init: 2"] * 5 + ["init: 0", "snapshot: 2", "stop: 0", "recover: 0", "destroy: 0", ""], done.stderr


# --- what dies or goes while machines run ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["status", "start", "stop", "destroy"])
def test_a_private_host_that_died_is_no_obstacle(running: Person, verb: str) -> None:
    end_world(running)
    if verb != "destroy":
        running.lago(verb)
        assert machines(running) == ({"running"} if verb == "start" else {"down"})
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def kill_libvirtd(world: int) -> None:
    for daemon in Path(f"/proc/{world}/task/{world}/children").read_text().split():
        if Path(f"/proc/{daemon}/comm").read_text().strip() == "libvirtd":
            os.kill(int(daemon), signal.SIGKILL)


def test_a_daemon_that_died_is_waited_for(running: Person) -> None:
    for verb in (("shell", "one", "true"), ("snapshot", "s1"), ("stop", "one")):
        kill_libvirtd(pids_of(running, "world_init.py")[-1])
        running.lago(*verb)
    assert machines(running) == {"down"}
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def test_a_network_that_a_daemon_made_as_it_died_is_no_obstacle(running: Person) -> None:
    world = pids_of(running, "world_init.py")[-1]
    inside = (*running.switch, "nsenter", "-t", str(world), "-U", "-n", "--preserve-credentials", "--")

    def bridges() -> set[str]:
        said = subprocess.run([*inside, "ip", "-o", "link", "show", "type", "bridge"], check=True, capture_output=True, text=True)
        return {line.split(":")[1].strip() for line in said.stdout.splitlines()}

    kept = bridges()
    subprocess.run([*inside, "ip", "link", "add", "lt-lost", "type", "bridge"], check=True)
    kill_libvirtd(world)
    running.lago("start")
    assert bridges() == kept
    assert running.lago("shell", "one", "hostname").strip() == "one"


def test_a_machine_that_died_is_down_and_starts_again(running: Person) -> None:
    (pid,) = pids_of(running, "guest=")
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 60
    while machines(running) != {"down"}:
        assert time.monotonic() < deadline_s
    assert "is down" in fails(running, "shell", "one", "true")
    running.lago("start")
    assert machines(running) == {"running"}


def test_images_deleted_under_a_running_machine(running: Person) -> None:
    shutil.rmtree(running.home / ".lago/default/images")
    assert machines(running) == {"running"}
    running.lago("stop")
    assert "is gone" in fails(running, "start")
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def test_a_folder_deleted_under_a_running_machine(running: Person) -> None:
    shutil.rmtree(running.home / ".lago")
    said = fails(running, "init")
    assert "still runs: one, net lab" in said
    assert "lagotui --run -P default destroy" in said
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def test_an_environment_elsewhere_keeps_clear_of_what_runs_without_a_folder(running: Person) -> None:
    gateway = running.status()["Networks"]["lab"]["gateway"]
    shutil.rmtree(running.home / ".lago")
    running.lago("-w", "other", "init")
    running.lago("-w", "other", "start")
    assert gateway not in running.lago("-w", "other", "status")
    running.lago("-w", "other", "destroy", "-y")
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def test_a_uuid_lost_under_a_running_machine(running: Person) -> None:
    (running.home / ".lago/default/uuid").unlink()
    assert "lagotui --run destroy" in fails(running, "status")
    running.lago("destroy", "-y")
    assert left_behind(running) == []


def test_an_environment_moved_while_down_starts_with_its_snapshots(running: Person) -> None:
    running.lago("shell", "one", "echo before > /root/state; sync")
    running.lago("snapshot", "s1")
    running.lago("stop")
    (running.home / ".lago").rename(running.home / "moved")
    running.lago("-w", "moved", "up")
    assert running.lago("-w", "moved", "shell", "one", "cat /root/state").strip() == "before"
    running.lago("-w", "moved", "revert", "s1")
    running.lago("-w", "moved", "destroy", "-y")
    assert not (running.home / "moved").exists()
    assert left_behind(running) == []


@pytest.mark.parametrize("name", ["id_rsa", "known_hosts"])
def test_lost_keys_are_told_and_destroy_works(running: Person, name: str) -> None:
    (running.home / ".lago/default" / name).unlink()
    assert name in fails(running, "shell", "one", "true")
    running.lago("destroy", "-y")
    assert left_behind(running) == []


# --- many at once, and kills anywhere ----------------------------------------------------------------------------


def test_environments_made_at_once_get_subnets_of_their_own(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    inits = [ordinary.popen("--run", "-w", f"w{number}", "init") for number in range(4)]
    said = [process.communicate(timeout=VERB_LIMIT_S)[1] for process in inits]
    assert [process.returncode for process in inits] == [0] * 4, said
    assert len(list((ordinary.home / "subnets").glob("*.lease"))) == 4
    for number in range(4):
        ordinary.lago("-w", f"w{number}", "destroy", "-y")
    assert left_behind(ordinary) == []


def test_a_destroy_beside_a_running_up_is_refused(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    up = ordinary.popen("--run", "up")
    assert up.stderr is not None
    assert any("Create disks" in line for line in up.stderr)
    assert "runs 'up' on it" in fails(ordinary, "destroy", "-y")
    up.communicate(timeout=VERB_LIMIT_S)
    assert up.returncode == 0
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []


def test_start_stop_and_status_at_once_end_in_a_whole_state(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("init")
    for _ in range(3):
        at_once = [ordinary.popen("--run", verb) for verb in ("start", "stop", "status")]
        said = [process.communicate(timeout=VERB_LIMIT_S) for process in at_once]
        assert {process.returncode for process in at_once} <= {0, 2}, said
        assert at_once[2].returncode == 0, said
    ordinary.lago("start")
    assert machines(ordinary) == {"running"}
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []


def test_kills_at_random_points_leave_nothing_that_the_next_verb_cannot_handle(ordinary: Person) -> None:
    seed = os.urandom(4).hex()
    sys.stdout.write(f"seed {seed}\n")  # pytest shows it when the test fails
    chance = random.Random(seed)
    ordinary.write("LagoInitFile", HELLO)
    before = hosts_networks()
    for number in range(KILLS):
        verb = chance.choice((("up",), ("stop",), ("snapshot", f"s{number}"), ("destroy", "-y")))
        if verb[0] != "up":
            make_and_start(ordinary)
        process = ordinary.popen("--run", *verb, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 1.2))  # the point is to hit the run anywhere
        process.kill()
        process.wait(60)
        status = ordinary.popen("--run", "status")
        said = status.communicate(timeout=VERB_LIMIT_S)
        assert status.returncode in (0, 2), (verb, said)
        assert "Traceback" not in said[1], (verb, said)
    make_and_start(ordinary)
    assert machines(ordinary) == {"running"}
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []
    assert hosts_networks() == before


# --- folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sp ace ünï", "quo'te\"s &amp;<x>", "a:b,c 100%d $HOME \\"])
def test_odd_folders_are_as_good(ordinary: Person, name: str) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("-w", name, "up")
    ordinary.lago("-w", name, "snapshot", "s1")
    assert ordinary.lago("-w", name, "shell", "one", "hostname").strip() == "one"
    ordinary.lago("-w", name, "destroy", "-y")
    assert not (ordinary.home / name).exists()
    assert left_behind(ordinary) == []


def test_a_home_too_long_for_sockets_is_as_good(ordinary: Person) -> None:
    home = ordinary.home / ("x" * 120)
    home.mkdir()
    shutil.chown(home, ordinary.name)
    there = replace(ordinary, home=home)
    there.write("LagoInitFile", ONE)
    there.lago("up")
    assert there.lago("shell", "one", "hostname").strip() == "one"
    there.lago("destroy", "-y")
    assert left_behind(there) == []


def test_twenty_machines_are_made_and_destroyed(ordinary: Person) -> None:
    names = "".join(f"  m{number}: *machine\n" for number in range(19))
    ordinary.write("LagoInitFile", ONE + names)
    ordinary.lago("init")
    assert len({machine["NICs"]["eth0"]["ip"] for machine in ordinary.status()["VMs"].values()}) == 20
    ordinary.lago("destroy", "-y")
    assert left_behind(ordinary) == []
