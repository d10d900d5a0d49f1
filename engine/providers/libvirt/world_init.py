"""Process 1 of a private world: libvirt and its guests inside namespaces of the user's own.

Run by `unshare` as `python -I -S world_init.py FOLDER RUN_FOLDER READY_FD`, with "root" inside being the user outside.
It makes the mounts, keeps virtlogd and libvirtd running, reaps every orphan (libvirt waits 40 s for a dead probe that nobody reaps),
and serves RUN_FOLDER/dial.sock. When it ends, the kernel ends everything in the world.
Standard library only, no imports of ours.

The dial socket (SOCK_SEQPACKET, one request a packet):
    `HOST PORT TIMEOUT_S`   → `ok` with a connected socket, or `E ERRNO TEXT`
    `HOLD`                  → `held`, then `ready` once libvirt serves; the world does not end itself while the connection stays open
    `END`, after `HOLD`     → the world ends if nobody else holds it and no domain or network is active, else `busy`
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

IDLE_END_S = 10.0
"""An unused world ends itself after this time: its users died before they could end it."""

IDLE_LOOK_S = 2.0
LIBVIRT_UP_S = 60.0
RESTART_PAUSE_S = 0.5
LOCK_WAIT_S = 10.0
MOUNT_TIMEOUT_S = 20.0

RUN = Path("/run/libvirt")
QEMU_USER = "libvirt-qemu"
BINDS = {"etc": "/etc/libvirt", "varlib": "/var/lib/libvirt", "varlog": "/var/log/libvirt", "varcache": "/var/cache/libvirt"}
FRESH = ("etc", "varlib", "varlog")
"""Emptied at every start; varcache stays, so that qemu is probed once."""

RESOLV_CONF = "resolv.conf"
"""Written by uplink.py from outside."""

QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
security_driver = "none"
"""
LIBVIRTD_CONF = 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n'

OUTSIDE_GID = 65534
"""What a group without a number in the world shows as (kernel.overflowgid)."""

SETGROUPS = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}
"""Audit architecture and system call number of setgroups, from linux/audit.h and asm/unistd.h."""


class Daemons:
    """virtlogd and libvirtd, started again when they die; guests outlive both."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self.ready = threading.Event()

    def start(self, name: str) -> None:
        self._names[subprocess.Popen([name], stdin=subprocess.DEVNULL, start_new_session=True).pid] = name

    def reap_for_ever(self) -> None:
        while True:
            pid, status = os.waitpid(-1, 0)
            name = self._names.pop(pid, None)
            if name is not None:
                say(f"{name} ended with status {status}; it is started again")
                time.sleep(RESTART_PAUSE_S)
                if name == "libvirtd":
                    remove_lost_nets()
                self.start(name)

    def wait_until_up(self, ready_fd: int) -> None:
        """Wait for libvirt's socket, then tell those who wait for the world."""
        deadline_s = time.monotonic() + LIBVIRT_UP_S
        while not _answers(RUN / "libvirt-sock"):
            if time.monotonic() > deadline_s:
                end(f"libvirtd does not answer after {LIBVIRT_UP_S:g} s")
            time.sleep(0.01)
        self.ready.set()
        with contextlib.suppress(BrokenPipeError), os.fdopen(ready_fd, "wb") as ready:
            ready.write(b"ready")


class DialServer:
    """Connects to guests for those outside, and counts who uses the world."""

    def __init__(self, listener: socket.socket, daemons: Daemons) -> None:
        self._listener = listener
        self._daemons = daemons
        self._lock = threading.Lock()
        self._holders = 0

    def serve_for_ever(self) -> None:
        while True:
            peer, _address = self._listener.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def end_when_idle_for_long(self) -> None:
        idle_since_s = time.monotonic()
        while True:
            time.sleep(IDLE_LOOK_S)
            with self._lock:
                if self._holders or in_use() or not self._daemons.ready.is_set():
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s > IDLE_END_S:
                    end("nobody uses it")

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(ConnectionError):
            words = peer.recv(256).decode(errors="replace").split()
            if words == ["HOLD"]:
                self._hold(peer)
            elif len(words) == 3:
                _dial(peer, words[0], words[1], words[2])

    def _hold(self, peer: socket.socket) -> None:
        with self._lock:
            self._holders += 1
        try:
            peer.send(b"held")
            self._daemons.ready.wait(LIBVIRT_UP_S)
            peer.send(b"ready")
            while request := peer.recv(256):
                if request == b"END":
                    self._end_unless_busy(peer)
        finally:
            with self._lock:
                self._holders -= 1

    def _end_unless_busy(self, peer: socket.socket) -> None:
        with self._lock:
            if self._holders == 1 and not in_use():
                end("its last user asked for it")
        peer.send(b"busy")


def _dial(peer: socket.socket, host: str, port: str, timeout_s: str) -> None:
    try:
        with socket.create_connection((host, int(port)), timeout=float(timeout_s)) as guest:
            guest.setblocking(True)
            socket.send_fds(peer, [b"ok"], [guest.fileno()])
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or (errno.ETIMEDOUT if isinstance(error, TimeoutError) else errno.EINVAL)
        peer.send(f"E {number} {getattr(error, 'strerror', None) or error}".encode())


def in_use() -> bool:
    """Whether a domain or a network is active: libvirt keeps one status file for each."""
    return any(next((RUN / kind).glob("*.xml"), None) is not None for kind in ("qemu", "network"))


def remove_lost_nets() -> None:
    """Remove the bridges and servers of networks that libvirtd began to make or remove when it died: it would not let anybody use them."""
    kept = "".join(path.read_text(errors="replace") for path in (RUN / "network").glob("*.xml"))
    for server in (RUN / "network").glob("*.pid"):
        with contextlib.suppress(OSError, ValueError):  # it ended by itself
            pid = int(server.read_text())
            if not server.with_suffix(".xml").exists() and Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq":
                os.kill(pid, signal.SIGKILL)
    shown = subprocess.run(["ip", "-o", "link", "show", "type", "bridge"], capture_output=True, text=True, timeout=MOUNT_TIMEOUT_S)
    for line in shown.stdout.splitlines():
        bridge = line.split(":")[1].strip()
        if f"'{bridge}'" not in kept:
            say(f"bridge {bridge} was left by a network that libvirtd does not know; it is removed")
            subprocess.run(["ip", "link", "delete", bridge], timeout=MOUNT_TIMEOUT_S)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def say(line: str) -> None:
    """Write to the world's log, which our stderr is."""
    sys.stderr.write(f"{time.strftime('%F %T')} world: {line}\n")
    sys.stderr.flush()


def end(why: str) -> NoReturn:
    """Have the main thread end the world; nothing that the calling thread has promised is kept any more, so it goes no further."""
    say(f"the world ends: {why}")
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    while True:
        time.sleep(IDLE_END_S)


def leave(run: Path) -> None:
    """End everything in the world, and remove what would be left of it outside."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.getpid() != 1:  # no world of its own: "everything" would be more than ours
        return
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    shutil.rmtree(run, ignore_errors=True)


def claim(run: Path) -> int:
    """Lock the run folder for as long as we live: one world a folder (and tmp cleaners leave a locked folder alone)."""
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while (descriptor := locked(run)) < 0:
        if time.monotonic() > deadline_s:
            sys.exit(f"another world holds '{run}'")
        time.sleep(0.05)
    if os.fstat(descriptor).st_uid != os.geteuid():
        sys.exit(f"'{run}' is not a folder of yours")
    return descriptor


def locked(run: Path) -> int:
    """Return the folder, made if need be, locked; -1 when another world holds it, or has just removed it at its end."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(run, 0o700)  # noqa: PTH102 - Path.mkdir looks again at what may just go
    with contextlib.suppress(BlockingIOError, FileNotFoundError), contextlib.ExitStack() as opened:
        descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        opened.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), run.lstat()):
            opened.pop_all()
            return descriptor
    return -1


def empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def write_configuration(folder: Path) -> None:
    for name in FRESH:
        empty(folder / name)
    (folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
    (folder / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    for name in ("qemu", "dnsmasq", "network", "images"):
        (folder / "varlib" / name).mkdir()


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=MOUNT_TIMEOUT_S)


def make_mounts(folder: Path, run_folder: Path) -> None:
    for name, place in BINDS.items():
        run("mount", "--bind", str(folder / name), place)
    name_qemu_user(folder)
    resolver = Path("/etc/resolv.conf").resolve()
    descriptor = os.open(run_folder, os.O_RDONLY | os.O_DIRECTORY)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for needed in (RUN, Path("/run/lock")):
        needed.mkdir()
    subprocess.run(
        ["mount", "--bind", f"/proc/self/fd/{descriptor}", str(RUN)], check=True, pass_fds=[descriptor], timeout=MOUNT_TIMEOUT_S
    )  # by descriptor: the folder itself may be below /run
    os.close(descriptor)
    name_resolver(folder, resolver)
    show_our_interfaces()


def name_resolver(folder: Path, known: Path) -> None:
    """Let dnsmasq ask whom the uplink names, if the world gets one: the host's resolver may listen where only the host can ask it."""
    shown = folder / "etc" / RESOLV_CONF
    shown.touch()
    if known.is_relative_to("/run"):
        # dnsmasq refuses to start when the folder of the resolver's file is missing
        known.parent.mkdir(parents=True, exist_ok=True)
        known.touch()
    if known.is_file():
        run("mount", "--bind", str(shown), str(known))


def name_qemu_user(folder: Path) -> None:
    """Show a user and a group `libvirt-qemu` inside: libvirt does not start without, although qemu.conf names another, and only the
    package of the system's daemon makes them."""
    entries = {"passwd": f"{QEMU_USER}:x:65534:65534::/nonexistent:/usr/sbin/nologin", "group": f"{QEMU_USER}:x:65534:"}
    for name, entry in entries.items():
        known = Path("/etc") / name
        text = known.read_text()
        if not any(line.startswith(f"{QEMU_USER}:") for line in text.splitlines()):
            shown = folder / "etc" / name
            shown.write_text(f"{text.rstrip()}\n{entry}\n")
            run("mount", "--bind", str(shown), str(known))


def show_our_interfaces() -> None:
    """Let /sys tell of the world's interfaces: libvirt sets up bridges through it, and must not meet the host's of the same name."""
    try:
        run("mount", "-t", "sysfs", "sysfs", "/sys")
    except subprocess.CalledProcessError:
        run("mount", "-t", "tmpfs", "tmpfs", "/sys/class/net")  # without its files libvirt uses ioctls


def keep_groups() -> None:
    """Let qemu keep the user's supplementary groups: access to /dev/kvm often comes from one.

    libvirt calls setgroups() before it starts qemu, and groups from outside cannot be named in here; so the call does nothing and succeeds.
    """
    numbers = SETGROUPS.get(platform.machine())
    if numbers is None or OUTSIDE_GID not in os.getgroups():
        return
    architecture, setgroups = numbers
    allow, ok = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with errno 0
    steps = [(0x20, 0, 0, 4), (0x15, 0, 3, architecture), (0x20, 0, 0, 0), (0x15, 0, 1, setgroups), (0x06, 0, 0, ok), (0x06, 0, 0, allow)]
    code = b"".join(
        op.to_bytes(2, sys.byteorder) + bytes([true, false]) + value.to_bytes(4, sys.byteorder) for op, true, false, value in steps
    )

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, ctypes.byref(Program(len(steps), code)), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        say(f"supplementary groups are lost to guests: {os.strerror(ctypes.get_errno())}")


def main(argv: list[str]) -> None:
    folder, run_folder, ready_fd = Path(argv[0]), Path(argv[1]), int(argv[2])
    os.set_inheritable(ready_fd, False)
    os.umask(0o022)
    claim(run_folder)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    try:
        live(folder, run_folder, ready_fd)
    finally:
        leave(run_folder)


def live(folder: Path, run_folder: Path, ready_fd: int) -> None:
    """Make the world, and keep it running."""
    empty(run_folder)
    daemons = Daemons()
    server = DialServer(listen(run_folder / "dial.sock"), daemons)
    threading.Thread(target=server.serve_for_ever, daemon=True).start()
    write_configuration(folder)
    make_mounts(folder, run_folder)
    run("ip", "link", "set", "lo", "up")
    keep_groups()
    daemons.start("virtlogd")
    daemons.start("libvirtd")
    threading.Thread(target=daemons.wait_until_up, args=(ready_fd,), daemon=True).start()
    threading.Thread(target=server.end_when_idle_for_long, daemon=True).start()
    daemons.reap_for_ever()


if __name__ == "__main__":
    main(sys.argv[1:])
