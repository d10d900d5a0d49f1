"""Kill -9 at random moments: `python -m tests.chaos [ROUNDS] [--seed N] [--verb VERB]…`. Needs what live tests need; writes only to /tmp.

Each round puts a real environment on the private host into the state that a verb needs, runs the verb, and kills the process at a
random moment of its usual length; now and then the run that puts it right is killed as well. Afterwards `status` must say what runs,
the same verb must succeed, soon, and from time to time `destroy` must leave nothing. A bad round leaves everything where it is, but for
the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.measure import Place

LIMIT_S = 240
DESTROY_EVERY = 6
AGAIN = 0.25
"""How often the run that puts things right is killed, too."""
FIRST_S = 1.0
"""Taken for the length of a verb that was not measured yet."""
SETTLING_S = 20.0
"""What the host may take to end what a dead verb asked it for."""
LATE_S = 60.0
"""A verb that puts right what was killed must not take longer than usual by more than this."""

INIT_FILE = """
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 200}}
domains:
  one: &machine
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}, {type: empty, name: data, dev: vdb, size: 64M, format: qcow2}]
    artifacts: [/etc]
    metadata: {deploy-scripts: [script.sh]}
  two: *machine
"""


class Broken(Exception):
    """Something is not as it must be after a kill."""


@dataclass
class User:
    """Somebody whose verbs get killed."""

    place: Place
    folder: Path
    usual_s: dict[str, float] = field(default_factory=dict)
    """Of the verbs by case."""
    slowest_s: dict[str, float] = field(default_factory=dict)
    """Of the verbs that put a killed one right."""
    last_s: float = 0.0

    @property
    def temporary(self) -> Path:
        return self.place.folder / "tmp"

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "lagotui", "--run", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(argv, env={**self.place.environ, "TMPDIR": str(self.temporary)}, cwd=self.folder, text=True, **pipes)  # type: ignore[call-overload,no-any-return]

    def lago(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        started_s = time.monotonic()
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Broken(f"{' '.join(words)}: no end after {LIMIT_S} s") from None
        if process.returncode not in codes or "Traceback" in err:
            raise Broken(f"{' '.join(words)}: exit {process.returncode}\n{out}\n{err}")
        self.last_s = time.monotonic() - started_s
        return out

    def killed(self, moment_s: float, *words: str) -> bool:
        """Run a verb and kill it after some time; false when it ended before."""
        started_s = time.monotonic()
        process = self.start(*words)
        try:
            process.communicate(timeout=moment_s)
            self.last_s = time.monotonic() - started_s
            return False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True

    @property
    def exists(self) -> bool:
        return (self.folder / ".lago/default/initialized").exists()

    def machines(self) -> dict[str, str]:
        return {name: vm["status"] for name, vm in json.loads(self.lago("-f", "json", "status"))["Prefix"]["VMs"].items()}

    def states(self) -> set[str]:
        return set(self.machines().values())

    def require_true_status(self) -> None:
        """Raises: Broken: what status says is not what runs, although the host had time to settle."""
        deadline_s = time.monotonic() + SETTLING_S
        while True:
            said = {name for name, state in self.machines().items() if state != "down"}
            running = {line.split("guest=", 1)[1].split(",")[0].split("-", 1)[1] for line in processes_of(self.place.folder, "guest=")}
            if said == running:
                return
            if time.monotonic() > deadline_s:
                raise Broken(f"status says that {sorted(said)} are up, but {sorted(running)} are")
            time.sleep(0.2)

    def snapshots(self) -> dict[str, list[str]]:
        return {vm: list(names) for vm, names in json.loads(self.lago("-f", "json", "snapshot", "--list")).items()}

    def have(self) -> None:
        if not self.exists:
            if (self.folder / ".lago").exists():
                self.lago("destroy", "-y")
            self.lago("init")

    def have_up(self) -> None:
        self.have()
        self.lago("up")

    def have_down(self) -> None:
        self.have()
        self.lago("stop")

    def have_snapshot(self, *options: str) -> None:
        self.have_up()
        if not all("base" in names for names in self.snapshots().values()):
            for name in {name for names in self.snapshots().values() for name in names}:
                self.lago("snapshot", "--delete", name)
            self.lago("snapshot", *options, "base")

    def have_checkpoint(self) -> None:
        self.have_snapshot("--memory")
        self.lago("shell", "one", "true")

    def have_two_layers(self) -> None:
        self.have_snapshot()
        if not all("second" in names for names in self.snapshots().values()):
            self.lago("snapshot", "--force", "second")

    def have_none(self) -> None:
        if (self.folder / ".lago").exists():
            self.lago("destroy", "-y")


@dataclass(frozen=True)
class Case:
    """One verb, what it needs, and how its success shows."""

    words: tuple[str, ...]
    before: Callable[[User], None]
    after: Callable[[User], object] = lambda user: None
    codes: tuple[int, ...] = (0,)
    """Of the second run: it may find that the killed one had come to its end."""


def _fresh_folder(name: str) -> Callable[[User], None]:
    def before(user: User) -> None:
        user.have_up()
        shutil.rmtree(user.folder / name, ignore_errors=True)

    return before


def _down_and_fresh(name: str) -> Callable[[User], None]:
    def before(user: User) -> None:
        user.have_down()
        shutil.rmtree(user.folder / name, ignore_errors=True)

    return before


def _no_partial_files(user: User) -> None:
    left = [str(path) for path in (user.folder / "out").rglob("*") if path.name.endswith((".partial", ".part", ".tmp"))]
    if left:
        raise Broken(f"left behind: {left}")


def _all(state: str) -> Callable[[User], None]:
    def after(user: User) -> None:
        if user.states() != {state}:
            raise Broken(f"machines are {user.states()}, not {state}")

    return after


def _answering(user: User) -> None:
    _all("running")(user)
    for name in ("one", "two"):
        user.lago("shell", name, "true")


def _snapshots(user: User) -> None:
    user.snapshots()
    user.lago("snapshot", "--delete", "killed")


CASES = {
    "init": Case(("init",), User.have_none, User.states, (0, 2)),
    "up": Case(("up",), User.have_down, _answering),
    "start": Case(("start",), User.have_down, _all("running")),
    "stop": Case(("stop",), User.have_up, _all("down")),
    "shutdown": Case(("shutdown",), User.have_up, _all("down")),
    "reboot": Case(("shutdown", "-r"), User.have_up, _all("running")),
    "snapshot": Case(("snapshot", "killed"), User.have_up, _snapshots, (0, 2)),
    "snapshot-down": Case(("snapshot", "killed"), User.have_down, _snapshots, (0, 2)),
    "memory": Case(("snapshot", "--memory", "killed"), User.have_up, _snapshots, (0, 2)),
    "revert": Case(("revert", "base"), User.have_snapshot, _answering),
    "revert-memory": Case(("revert", "base"), User.have_checkpoint, _answering),
    "delete": Case(("snapshot", "--delete", "base"), User.have_snapshot, User.snapshots, (0, 2)),
    "merge": Case(("snapshot", "--delete", "base"), User.have_two_layers, _answering, (0, 2)),
    "export": Case(("export", "-s", "-d", "out"), _down_and_fresh("out"), _no_partial_files, (0, 2)),
    "export-layered": Case(("export", "-d", "out"), _down_and_fresh("out"), _no_partial_files, (0, 2)),
    "collect": Case(("collect", "--output", "out"), _fresh_folder("out"), _no_partial_files),
    "copy-to-vm": Case(("copy-to-vm", "one", "tree", "/root/tree"), User.have_up),
    "copy-from-vm": Case(("copy-from-vm", "one", "/etc", "out"), _fresh_folder("out"), _no_partial_files),
    "deploy": Case(("deploy",), User.have_up),
    "cleanup": Case(("cleanup",), User.have_up),
    "destroy": Case(("destroy", "-y"), User.have_up),
}


def one_round(user: User, verb: str, chance: random.Random) -> str:
    """Kill one verb at a random moment; return how it went.

    Raises:
        Broken: what comes after the kill is not right.
    """
    case = CASES[verb]
    case.before(user)
    usual_s = user.usual_s.get(verb, FIRST_S)
    was_killed = user.killed(chance.uniform(0.2, 1.1) * usual_s, *case.words)
    if not was_killed:
        user.usual_s[verb] = user.last_s
    elif chance.random() < AGAIN:
        user.killed(chance.uniform(0.2, 1.1) * usual_s, *case.words)
    gone = not (user.folder / ".lago/default").exists()
    user.lago("status", codes=(0, 2))
    if user.exists:
        user.require_true_status()
    user.lago(*case.words, codes=(*case.codes, 2) if gone else case.codes)
    if was_killed:
        user.usual_s[verb] = max(user.last_s, usual_s)
    user.slowest_s[verb] = max(user.last_s, user.slowest_s.get(verb, 0.0))
    if user.last_s > usual_s + LATE_S:
        raise Broken(f"putting it right took {user.last_s:.1f} s")
    if user.exists:
        user.require_true_status()
        case.after(user)
    return "killed" if was_killed else "had ended"


def require_nothing_left(user: User) -> None:
    """Raises: Broken: destroy left something."""
    if (user.folder / ".lago").exists():
        user.lago("destroy", "-y")
    home = user.place.folder
    ours = [path for folder in ("journal", "environments") for path in (home / "state/lagotui" / folder).rglob("*")]
    parts = [
        path for path in home.rglob("*") if path.name.endswith((".part", ".partial", ".new", ".tmp")) or path.name.startswith(".lagotui")
    ]
    found = [user.folder / ".lago", *(home / "subnets").glob("*.lease"), *ours, *parts, *user.temporary.iterdir()]
    left = [str(path) for path in found if path.exists()]
    deadline_s = time.monotonic() + SETTLING_S
    while (running := processes_of(home)) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    if left or running:
        raise Broken(f"destroy left: {left} {running}")


def processes_of(home: Path, text: str = "") -> list[str]:
    """Return the command lines of what runs for a home: its private world, with all domains and networks in it, is among them."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in line and text in line:
            lines.append(line[:300])
    return lines


def _keep_journals(user: User, folder: Path) -> None:
    """Copy what tells how a bad round came about."""
    shutil.copytree(user.place.folder / "state/lagotui/journal", folder / "journal", dirs_exist_ok=True)
    for virt in (user.folder / ".lago").glob("*/virt"):
        shutil.copytree(virt, folder / virt.parent.name, dirs_exist_ok=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--verb", action="append", choices=list(CASES))
    options = parser.parse_args(words)
    chance, counts, bad = random.Random(options.seed), Counter[str](), 0
    home = Path(tempfile.mkdtemp(prefix="lc-", dir="/tmp"))
    place = Place(home)
    user = User(place, place.work("w", INIT_FILE))
    user.temporary.mkdir()
    (user.folder / "script.sh").write_text("sleep 0.2; echo deployed\n")
    for number in range(200):
        path = user.folder / "tree" / str(number % 7) / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))
    sys.stdout.write(f"seed {options.seed}, {home}\n")
    place.lagotui("--run", "template", "build", "tiny")
    verbs: list[str] = []
    for number in range(1, options.rounds + 1):
        verbs = verbs or chance.sample(chosen := options.verb or list(CASES), len(chosen))
        verb = verbs.pop()
        try:
            how = one_round(user, verb, chance)
            counts[f"{verb}: {how}"] += 1
            sys.stdout.write(f"round {number}, {verb}: {how}\n")
            if number % DESTROY_EVERY == 0 or number == options.rounds:
                require_nothing_left(user)
        except Broken as broken:
            bad += 1
            counts[f"{verb}: bad"] += 1
            sys.stdout.write(f"round {number}, {verb}: {broken}\n")
            _keep_journals(user, home / f"bad{number}")
            user.lago("destroy", "-y", codes=(0, 1, 2))
            shutil.rmtree(user.folder / ".lago", ignore_errors=True)
        sys.stdout.flush()
    for what, count in sorted(counts.items()):
        sys.stdout.write(f"{count:5} {what}\n")
    slowest = ", ".join(f"{verb} {seconds:.1f} s" for verb, seconds in sorted(user.slowest_s.items()))
    sys.stdout.write(f"slowest verb after a kill: {slowest}\n{options.rounds} rounds, {bad} bad\n")
    if not bad:
        shutil.rmtree(home, ignore_errors=True)
    return os.EX_OK if not bad else os.EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
