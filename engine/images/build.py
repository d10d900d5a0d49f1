"""Build commands of the init file: programs that change a disk before its machine first starts. There is one: virt-customize."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import BuildFailed, GuestfsError, GuestfsMissing
from ..spec import Json
from .guestfs import GuestDisk, run_tool

BUILD_TIMEOUT_S = 3600.0
"""Builds install packages."""

STDERR_LINES = 10
"""Of what a failed command said last."""

BUILDERS = ("virt-customize",)


def build(ctx: TaskContext, disk: GuestDisk, builder: str, options: Mapping[str, Json], public_key: Path) -> None:
    """Run one build command on a disk that no machine uses.

    Raises:
        BuildFailed: there is no such builder, or it failed; the message ends with what it said last.
        GuestfsMissing: it is not installed.
        DiskFull, Cancelled: as `run_tool`.
    """
    argv = build_argv(disk, builder, options, public_key)
    try:
        run_tool(ctx, argv, BUILD_TIMEOUT_S)
    except GuestfsMissing:
        raise
    except GuestfsError as failure:
        tail = "\n".join(f"  {line}" for line in failure.stderr.strip().splitlines()[-STDERR_LINES:])
        raise BuildFailed(
            f"build command '{builder}' of '{disk.path}' failed: {failure.message}\n{tail}".rstrip(),
            hint="put the options under 'build' of the disk right, or leave them out with --skip-build",
            stderr=failure.stderr,
        ) from failure


def build_argv(disk: GuestDisk, builder: str, options: Mapping[str, Json], public_key: Path) -> list[str]:
    """Return the command line of a build command: every option in the order of the file, and every value one word of its own.

    Raises:
        BuildFailed: there is no such builder.
    """
    name = builder.replace("_", "-")
    if name not in BUILDERS:
        raise BuildFailed(f"there is no builder '{builder}'; there is {', '.join(BUILDERS)}")
    words = [name, f"--format={disk.format}", "-a", str(disk.path)]
    for option, value in options.items():
        if option == "ssh-inject" and not value:
            value = f"root:file:{public_key}"
        words += _option(str(option), value)
    return words


def _option(name: str, value: Json) -> list[str]:
    flag = f"-{name}" if len(name) == 1 else f"--{name}"
    if value is False:
        return []
    if value is None or value is True or value == "" or value == []:
        return [flag]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (flag, str(each))]
