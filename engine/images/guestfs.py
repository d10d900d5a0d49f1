"""libguestfs: what is inside disk images, read and changed from outside, by its commands guestfish and virt-*.

Each command boots a small virtual machine of its own (the appliance): about 10 s where there is no KVM, 2 s where there is. So the work of
several disks goes into one session. A session is a list of commands, each a list of words; nothing in a word is read as anything but data.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, GuestfsError, GuestfsMissing
from ..process import Completed, failure_of, run
from ..state.home import cache_home

LAUNCH_TIMEOUT_S = 300.0
"""For a session that does little; the appliance itself is up after 10 to 40 s on a busy machine without KVM."""

PACKAGE_OF = {
    "guestfish": ("libguestfs-tools", "guestfs-tools"),
    "virt-sysprep": ("libguestfs-tools", "guestfs-tools"),
    "virt-customize": ("libguestfs-tools", "guestfs-tools"),
    "virt-sparsify": ("libguestfs-tools", "guestfs-tools"),
}
"""Program → the package that brings it: of Debian and Ubuntu, of Fedora."""

KERNEL_FOLDERS = ("/boot", "/lib/modules")
"""Where the appliance takes a kernel from: vmlinuz-* in the first, */vmlinuz in the second. (supermin(1))"""

_KVM = Path("/dev/kvm")
_ANSWER = "lagotui: answer"
"""Stands in what a session prints before what it says of one path."""
_TROUBLE = re.compile(r"^(?:libguestfs: error: |[a-z-]+: error: )(?P<why>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """A disk image that the appliance is given; the first of a session is /dev/sda in there, the next /dev/sdb."""

    path: Path
    format: str
    """`qcow2` or `raw`, as probed: libguestfs guesses nothing."""


def device(index: int) -> str:
    """Return the name of a disk of a session in the appliance.

    Raises:
        GuestfsError: there are not that many.
    """
    if index >= 26:
        raise GuestfsError("a session of libguestfs takes 26 disks at most here")
    return f"/dev/sd{chr(ord('a') + index)}"


# what must be there


def tools_missing(*programs: str) -> str:
    """Say in a sentence what libguestfs lacks on this machine; "" when it can be used.

    Args:
        programs: that are needed; none: guestfish.
    """
    absent = [program for program in programs or ("guestfish",) if shutil.which(program) is None]
    if absent:
        names = " and ".join(f"'{name}'" for name in absent)
        return f"libguestfs is not installed: there is no {names}"
    return kernel_missing()


def install_hint(*programs: str) -> str:
    """Return the commands that bring what `tools_missing` says is missing."""
    absent = [program for program in programs or ("guestfish",) if shutil.which(program) is None]
    fedora = shutil.which("apt-get") is None and shutil.which("dnf") is not None
    packages = list(dict.fromkeys(PACKAGE_OF.get(program, PACKAGE_OF["guestfish"])[fedora] for program in absent))
    if absent and not fedora and not _kernels():
        packages.append(_kernel_package())
    if packages:
        return f"sudo {'dnf' if fedora else 'apt-get'} install {' '.join(packages)}"
    unreadable = [path for path in _kernels() if not os.access(path, os.R_OK)]
    if unreadable:
        return f"sudo chmod 0644 {unreadable[-1]} (after each update of the kernel; or let dpkg do it: man dpkg-statoverride)"
    return f"sudo {'dnf install kernel-core' if fedora else f'apt-get install {_kernel_package()}'}"


def kernel_missing() -> str:
    """Say why the appliance finds no kernel on this machine; "" when it does."""
    if os.environ.get("LIBGUESTFS_PATH") or os.environ.get("SUPERMIN_KERNEL"):  # an appliance or a kernel of the user's
        return ""
    kernels = _kernels()
    if not kernels:
        return "libguestfs needs a Linux kernel in /boot, and there is none"
    if not any(os.access(path, os.R_OK) for path in kernels):
        return f"libguestfs needs a Linux kernel that it may read, and '{kernels[-1]}' is closed to this user (as Ubuntu has it)"
    return ""


def require(*programs: str) -> None:
    """Raises: GuestfsMissing: a program, or a kernel for the appliance, is not there; the hint installs it."""
    missing = tools_missing(*programs)
    if missing:
        raise GuestfsMissing(missing, hint=install_hint(*programs))


def _kernels() -> list[Path]:
    boot, modules = (Path(folder) for folder in KERNEL_FOLDERS)
    return sorted([*boot.glob("vmlinuz-*"), *modules.glob("*/vmlinuz")])


def _kernel_package() -> str:
    try:
        distro = platform.freedesktop_os_release()
    except OSError:
        distro = {}
    return "linux-image-virtual" if distro.get("ID") == "ubuntu" else "linux-image-cloud-amd64"


# the appliance


def environment() -> dict[str, str]:
    """Return the variables that the commands of libguestfs need here, on top of ours; what the user has set is left alone."""
    wanted = {"LIBGUESTFS_BACKEND": "direct"}  # libvirt's would start a daemon of its own, and as root give the images away
    if not _kvm_works():
        wanted["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"  # a /dev/kvm that opens and does not work makes it hang or abort
    if not _may_cache(Path("/var/tmp")):
        wanted["LIBGUESTFS_CACHEDIR"] = str(cache_home())
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def _kvm_works() -> bool:
    """Whether the appliance can be run by KVM: /dev/kvm opens, and the processor says that it can (elsewhere than on x86 nobody says)."""
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return False
    if platform.machine() not in ("x86_64", "i686"):
        return True
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return flags is not None and not {"vmx", "svm"}.isdisjoint(flags[1].split())


def _may_cache(folder: Path) -> bool:
    """Whether libguestfs can keep its appliance in the folder: it refuses one that others own."""
    own = folder / f".guestfs-{os.geteuid()}"
    try:
        found = own.lstat()
    except OSError:
        return os.access(folder, os.W_OK | os.X_OK)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def run_tool(ctx: TaskContext, argv: Sequence[str | os.PathLike[str]], timeout_s: float, *, stdin: bytes = b"") -> Completed:
    """Run a command of libguestfs to its end.

    Raises:
        GuestfsMissing: it is not installed, or there is no kernel for its appliance.
        GuestfsError: it failed; the message ends with what it said last.
        DiskFull: it failed because the disk is full.
        Cancelled: the user asked to stop.
    """
    program = os.fspath(argv[0])
    require(program)
    with tempfile.TemporaryDirectory(prefix="lagotui-fs-", ignore_cleanup_errors=True) as scratch:
        env: Mapping[str, str] = {**_short_sockets(scratch), **environment()}
        completed = run(ctx, argv, timeout_s=timeout_s, env=env, stdin=stdin, check=False)
    if completed.returncode == 0:
        return completed
    failure = failure_of(completed)
    if not isinstance(failure, CommandFailed):
        raise failure
    raise GuestfsError(f"'{program}' failed: {trouble(failure.stderr)}", hint=_hint_of(failure.stderr), stderr=failure.stderr)


def _short_sockets(scratch: str) -> dict[str, str]:
    """Keep all that a session leaves when it is killed in one folder, whose name is short enough for sockets."""
    return {"LIBGUESTFS_TMPDIR": scratch, "XDG_RUNTIME_DIR": scratch}


def trouble(stderr: str) -> str:
    """Return what went wrong, of all that a command of libguestfs said."""
    errors = [found["why"] for found in _TROUBLE.finditer(stderr)]
    lines = [line for line in stderr.splitlines() if line.strip()]
    return errors[0] if errors else lines[-1] if lines else "it said nothing"


def _hint_of(stderr: str) -> str:
    if "supermin" in stderr:
        return kernel_missing() or "see what it says with: libguestfs-test-tool"
    if "Failed to get" in stderr and "lock" in stderr:
        return "the image is in use: stop the machine first"
    return "see whether libguestfs works here with: libguestfs-test-tool"


def guestfish(
    ctx: TaskContext,
    disks: Sequence[GuestDisk],
    commands: Sequence[Sequence[str]],
    *,
    read_only: bool,
    timeout_s: float = LAUNCH_TIMEOUT_S,
    inspect: bool = False,
) -> str:
    """Run commands of guestfish(1) on disks, in one appliance; the first that fails ends it.

    Args:
        ctx: the task it belongs to.
        disks: the first is /dev/sda, see `device`.
        commands: words of each; a first word that begins with `-` is a command that may fail. `run` is said for you.
        read_only: what is written goes nowhere.
        timeout_s: for all of it.
        inspect: find the operating system (there must be one only) and mount its file systems.

    Returns:
        What the commands printed.

    Raises:
        GuestfsMissing, GuestfsError, DiskFull, Cancelled: as `run_tool`.
    """
    argv: list[str | Path] = ["guestfish", "--no-progress-bars", "--ro" if read_only else "--rw"]
    for disk in disks:
        argv += [f"--format={disk.format}", "-a", disk.path.absolute()]
    argv += ["-i"] if inspect else []
    lines = [line_of(words) for words in ([] if inspect else [["run"]]) + [list(words) for words in commands]]
    script = "".join(f"{line}\n" for line in lines)
    return run_tool(ctx, argv, timeout_s, stdin=script.encode()).text


def line_of(words: Sequence[str]) -> str:
    """Return a command as a line that guestfish reads back word for word.

    Raises:
        GuestfsError: a word holds a NUL, which no command line can.
    """
    command, *arguments = words
    return " ".join([command, *(_quoted(argument) for argument in arguments)])


def _quoted(word: str) -> str:
    if "\0" in word:
        raise GuestfsError("a NUL cannot be passed on to libguestfs")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x01-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped) + '"'


# files out of a disk


def copy_out(
    ctx: TaskContext,
    disk: GuestDisk,
    paths: Sequence[str],
    folder: Path,
    root_partition: str = "",
    *,
    timeout_s: float = 2 * LAUNCH_TIMEOUT_S,
) -> dict[str, Path]:
    """Copy files and folders out of a disk that no machine uses; nothing on it is written.

    The root file system is that of the operating system when libguestfs finds exactly one; else the one that is named `root_partition`;
    else the first, sorted, whose name it is a part of.

    Args:
        ctx: the task it belongs to.
        disk: with the operating system.
        paths: absolute, in the guest; none is a pattern.
        folder: where they go; each gets a folder of its own in there.
        root_partition: of the image's metadata; "" when it says nothing.
        timeout_s: for each session; there are up to four.

    Returns:
        Path in the guest → where it is now. Those that are not in the guest are left out.

    Raises:
        GuestfsError: there is no root file system, or something in it cannot be read.
        GuestfsMissing, DiskFull, Cancelled: as `run_tool`.
    """
    wanted = {path: folder / str(number) for number, path in enumerate(dict.fromkeys(paths))}
    mounts: list[list[str]] | None = None
    try:
        found, links = _copied(ctx, disk, wanted, mounts, timeout_s)
    except GuestfsMissing:
        raise
    except GuestfsError as failure:
        if not _cannot_tell(failure.stderr):
            raise
        mounts = [["mount-ro", _root_of(ctx, disk, root_partition, timeout_s), "/"]]
        found, links = _copied(ctx, disk, wanted, mounts, timeout_s)
    if links:
        led, _ = _copied(ctx, disk, {target: wanted[path] for path, target in links.items()}, mounts, timeout_s)
        found |= {path: led[target] for path, target in links.items() if target in led}
    return {path: found[path] for path in wanted if path in found}


def _root_of(ctx: TaskContext, disk: GuestDisk, root_partition: str, timeout_s: float) -> str:
    listed = guestfish(ctx, [disk], [["list-filesystems"]], read_only=True, timeout_s=timeout_s)
    root = find_root(parse_file_systems(listed), root_partition)
    if root is None:
        raise GuestfsError(
            f"'{disk.path}' has not exactly one operating system, and none of its file systems is '{root_partition}'",
            hint='name its root in the metadata of the disk: "root-partition": "/dev/sda1"',
        )
    return root


def parse_file_systems(text: str) -> dict[str, str]:
    """Read what `list-filesystems` prints: device → type."""
    return dict(line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)


def find_root(file_systems: Mapping[str, str], root_partition: str) -> str | None:
    """Return the file system that an image's metadata names as its root."""
    if not root_partition:
        return None
    if root_partition in file_systems:
        return root_partition
    return next((name for name in sorted(file_systems) if root_partition in name), None)


def _cannot_tell(stderr: str) -> bool:
    """Whether `-i` found no system, or several. (libguestfs, common/options/inspect.c)"""
    return any(words in stderr for words in ("no operating system was found", "multi-boot operating systems", "could not detect"))


def _copied(
    ctx: TaskContext, disk: GuestDisk, wanted: Mapping[str, Path], mounts: list[list[str]] | None, timeout_s: float
) -> tuple[dict[str, Path], dict[str, str]]:
    """Copy what is a file or a folder.

    Returns:
        Path in the guest → where it is now; link in the guest → what it leads to. What is not there is in neither.
    """
    commands = list(mounts or ())
    for path, place in wanted.items():
        place.mkdir(parents=True, exist_ok=True)
        commands += [["echo", _ANSWER], ["-realpath", path], ["-copy-out", path, str(place.absolute())]]
    said = guestfish(ctx, [disk], commands, read_only=True, timeout_s=timeout_s, inspect=mounts is None)
    found, links = {}, {}
    for (path, place), answer in zip(wanted.items(), said.split(f"{_ANSWER}\n")[1:], strict=True):
        real = answer.removesuffix("\n")
        copy = next(place.iterdir(), None)
        if copy is not None:
            found[path] = copy
            continue
        place.rmdir()
        if real and real != path:
            links[path] = real
        elif real:
            raise GuestfsError(f"'{path}' of '{disk.path}' cannot be copied out: it is neither a file nor a folder, or cannot be read")
    return found, links
