"""Live tests: the real program, run as a user runs it, on real libvirt and real machines.

The private host is tried as an ordinary user: as ourselves, or, when the tests run as root, as a scratch user made for them and removed
after. The system's host is tried where its daemon is open to us; as root one is started by hand where none runs, and ended after.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.providers.base import Accel
from engine.providers.libvirt.accel import probe_accel

SCRATCH_USER = "lagotui-test"
REPO = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERB_LIMIT_S = 240
"""No verb takes longer, on the slowest machine that the tests are run on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


@dataclass(frozen=True)
class Person:
    """Somebody who runs lagotui: an account, a home, and what they have set."""

    name: str
    home: Path
    host: str
    """What `libvirt_url` is set to."""
    store: Path
    switch: tuple[str, ...] = ()
    """Command line that becomes this person."""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("LANG", "TERM"))}
        return {
            **kept,
            "PATH": PATH,
            "HOME": str(self.home),
            "USER": self.name,
            "LAGO_LIBVIRT_URL": self.host,
            "LAGO_TEMPLATE_STORE": str(self.store),
            "LAGO_LEASE_DIR": str(self.home / "subnets"),
            **self.extra,
        }

    def command(self, *words: str) -> list[str]:
        return [*self.switch, sys.executable, "-m", "lagotui", *words]

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        environ = {**self.environ, "PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.command(*words), text=True, cwd=self.home, env=environ, **options)

    def lago(self, *words: str, code: int = 0, stdin: str | None = None, limit_s: float = VERB_LIMIT_S) -> str:
        """Run `lagotui --run …` in the person's home, expect an exit code, return stdout."""
        process = self.popen("--run", *words, **({"stdin": subprocess.PIPE} if stdin is not None else {}))
        try:
            stdout, stderr = process.communicate(stdin, timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            pytest.fail(f"lagotui --run {' '.join(words)}: no end\n{stdout}\n{stderr}")
        assert process.returncode == code, f"lagotui --run {' '.join(words)}: exit {process.returncode}\n{stdout}\n{stderr}"
        return stdout if code == 0 else stderr

    def status(self) -> dict[str, Any]:
        """Return the status as its JSON says it."""
        data: dict[str, Any] = json.loads(self.lago("-f", "json", "status"))["Prefix"]
        return data

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path

    def processes(self) -> list[str]:
        """Return the command lines of everything that runs for this person's homes."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(self.home) in line:
                    found.append(line.strip())
        return found

    def wait_gone(self, timeout_s: float = 120.0) -> list[str]:
        """Wait until nothing runs for this person any more; return what is left."""
        deadline_s = time.monotonic() + timeout_s
        while (left := self.processes()) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return left


@pytest.fixture(scope="session")
def live_folder() -> Iterator[Path]:
    """A folder that everybody may pass through; short, for the sake of socket paths."""
    folder = Path(tempfile.mkdtemp(prefix="lt-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ordinary_user() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of an ordinary user, and the command line that becomes it."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid()).pw_name, ()
        return
    made = False
    try:
        pwd.getpwnam(SCRATCH_USER)
    except KeyError:
        subprocess.run(["useradd", "--no-create-home", "--home-dir", "/", SCRATCH_USER], check=True)
        made = True
    account = pwd.getpwnam(SCRATCH_USER)
    who = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--inh-caps=-all")
    yield SCRATCH_USER, ("setpriv", *who, "--")
    if made:
        for pid in _pids_of(account.pw_uid):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["userdel", SCRATCH_USER], check=True)


@pytest.fixture(scope="session")
def store(live_folder: Path, ordinary_user: tuple[str, tuple[str, ...]]) -> Path:
    """The template store, with the tiny template built in it by the ordinary user."""
    name, switch = ordinary_user
    cache = os.environ.get("LAGOTUI_TEST_CACHE")
    folder = Path(cache) / "store" if cache else live_folder / "store"
    folder.mkdir(parents=True, exist_ok=True)
    home = _home(live_folder, "builder", name)
    if os.geteuid() == 0:
        shutil.chown(folder, name)
    Person(name, home, "private", folder, switch).lago("template", "build", "tiny")
    return folder


@pytest.fixture
def ordinary(live_folder: Path, ordinary_user: tuple[str, tuple[str, ...]], store: Path) -> Iterator[Person]:
    """An ordinary user in no special group, with a new home and a private host of their own."""
    name, switch = ordinary_user
    person = Person(name, _home(live_folder, f"u{time.monotonic_ns() % 10**8}", name), "private", store, switch)
    yield person
    _clean(person)


@pytest.fixture(scope="module")
def ordinary_for_module(live_folder: Path, ordinary_user: tuple[str, tuple[str, ...]], store: Path) -> Iterator[Person]:
    """As `ordinary`, for the tests of a module that share an environment."""
    name, switch = ordinary_user
    person = Person(name, _home(live_folder, f"m{time.monotonic_ns() % 10**8}", name), "private", store, switch)
    yield person
    _clean(person)


@pytest.fixture(scope="session")
def system_daemon() -> Iterator[None]:
    """The system's libvirt, open to us; started by hand as root where none runs."""
    if Path("/run/libvirt/libvirt-sock").exists() and _answers("qemu:///system"):
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("the system's libvirt is not open to this user")
    if not shutil.which("libvirtd", path=PATH):
        pytest.skip("libvirtd is not installed")
    if not _has_user("libvirt-qemu") and not _has_user("qemu"):
        pytest.skip("the package of the system's daemon (libvirt-daemon-system) is not installed")
    runner = [sys.executable, str(Path(__file__).with_name("system_daemons.py"))]
    if Path("/dev/kvm").exists() and probe_accel("auto").accel is not Accel.KVM:
        runner = ["unshare", "--mount", "--propagation", "slave", "--", *runner, "--without-kvm"]
    daemons = subprocess.Popen(runner, env={"PATH": PATH})
    deadline_s = time.monotonic() + 120
    while not _answers("qemu:///system"):
        assert time.monotonic() < deadline_s, "libvirtd does not answer"
        time.sleep(0.1)
    yield
    daemons.terminate()
    daemons.wait(60)


@pytest.fixture
def on_system(live_folder: Path, store: Path, system_daemon: None) -> Iterator[Person]:
    """Ourselves, on the system's libvirt."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    person = Person(name, _home(live_folder, f"s{time.monotonic_ns() % 10**8}", name), "system", store)
    yield person
    _clean(person)


@pytest.fixture(params=["private", "system"])
def person(request: pytest.FixtureRequest) -> Person:
    """The same test on both kinds of host."""
    chosen: Person = request.getfixturevalue("ordinary" if request.param == "private" else "on_system")
    return chosen


def _home(parent: Path, name: str, owner: str) -> Path:
    home = parent / name
    home.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(home, owner)
    return home


def _clean(person: Person) -> None:
    """End what a failed test left, so that it fails alone."""
    if (person.home / ".lago").exists():
        person.popen("--run", "destroy", "-y", "--all-prefixes").communicate(timeout=VERB_LIMIT_S)
    for pid in _pids_naming(str(person.home)):
        os.kill(pid, signal.SIGKILL)


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _answers(uri: str) -> bool:
    return subprocess.run(["virsh", "-c", uri, "version"], capture_output=True, timeout=60, check=False).returncode == 0


def _pids_of(uid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _owner(entry) == uid]


def _owner(entry: Path) -> int:
    try:
        return entry.stat().st_uid
    except OSError:
        return -1


def _pids_naming(text: str) -> list[int]:
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    pids.append(int(entry.name))
            except OSError:
                continue
    return pids
