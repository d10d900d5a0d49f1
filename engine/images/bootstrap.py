"""Machines whose image does not speak cloud-init are told their name, keys and addresses from outside, before they first start.

The part that machines of one image share takes the appliance of libguestfs most of its time: it is done once, in a layer on the image that
is kept in the cache (a few MB). A machine's disk is then a copy of that layer, and what only that machine has is written by one session
for all machines of an init. The layers may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import GuestfsError, GuestfsMissing
from ..state.atomic import write_json
from ..state.home import cache_home
from .disks import copy_image, format_of, grow, make_overlay
from .guestfs import LAUNCH_TIMEOUT_S, GuestDisk, device, guestfish, parse_file_systems, run_tool
from .store import locked
from .sysprep import NAMED_FILES, PLACEHOLDER, GuestFacts, Shared, Told, machine_commands, sysprep_options

RECIPE = 1
"""Rises when the shared part does something else."""

SYSPREP_TIMEOUT_S = 1800.0
KEPT_S = 30 * 86400.0
"""A layer that nobody used for so long goes."""

SESSION_DISKS = 16
"""In one session: the appliance numbers disks by one letter, and has 1 GB of memory."""

_MARK = "lagotui: next"
_TOLD_PLACES = frozenset({"/etc", "/root", "/home"})
"""What is told is written below these."""
_HINT = "leave the machine's disk as it is with 'bootstrap: false', or see how libguestfs fares with: libguestfs-test-tool"


@dataclass(frozen=True, slots=True)
class Preparation:
    """The shared part for machines that stand on one image."""

    source: Path
    """The image."""
    shared: Shared
    root_password: str | None = None
    root_partition: str = ""
    """Of the image's metadata: `/dev/sda1`; "" when it says nothing."""


@dataclass(frozen=True, slots=True)
class MachineDisk:
    """The first disk of a machine."""

    told: Told
    path: Path
    format: str
    preparation: Preparation
    """`source` is what the disk stands on; the disk itself when it stands alone."""
    size: str | None = None
    """What the machine sees of it; None: as the image has it."""

    @property
    def is_alone(self) -> bool:
        return self.preparation.source == self.path


# the shared part


def layer_path(preparation: Preparation) -> Path:
    """Return where the layer of a preparation is, or would be.

    Raises:
        GuestfsError: its image is not there.
    """
    known = {
        "recipe": RECIPE,
        "source": str(preparation.source),
        "image": _identity(preparation.source),
        "options": sysprep_options(preparation.shared),
        "password": preparation.root_password,
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:24]
    name = preparation.source.name.replace(":", "-")
    return cache_home() / "bootstrap" / f"{name}-{digest}.qcow2"


def is_prepared(preparation: Preparation) -> bool:
    """Whether the layer is there already."""
    try:
        return layer_path(preparation).is_file()
    except GuestfsError:
        return False


def prepare(ctx: TaskContext, preparation: Preparation) -> Path:
    """Return the layer, made first where it is not there. Of several runs that want the same, one makes it and the others wait.

    Raises:
        GuestfsError: the image cannot be prepared: there is no system in it that libguestfs knows, or a command failed.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    layer = layer_path(preparation)
    layer.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(ctx, layer.with_suffix(".lock")):
        if not (layer.is_file() and _facts_path(layer).is_file()):
            _forget_old(layer.parent)
            _make_layer(ctx, preparation, layer)
        os.utime(layer)
    return layer


def _make_layer(ctx: TaskContext, preparation: Preparation, layer: Path) -> None:
    new = layer.with_name(f".{layer.name}.making")
    try:
        make_overlay(ctx, new, preparation.source, format_of(ctx, preparation.source))
        with _named(f"image '{preparation.source}'"):
            facts = _sysprep(ctx, GuestDisk(new, "qcow2"), preparation)
        write_json(_facts_path(layer), asdict(facts))
        new.replace(layer)
    finally:
        new.unlink(missing_ok=True)


def _sysprep(ctx: TaskContext, disk: GuestDisk, preparation: Preparation) -> GuestFacts:
    with _password_file(preparation.root_password) as password_file:
        argv: list[str | Path] = ["virt-sysprep", f"--format={disk.format}", "-a", disk.path, "--no-network"]
        run_tool(ctx, [*argv, *sysprep_options(preparation.shared, password_file)], SYSPREP_TIMEOUT_S)
    return _look(ctx, disk, preparation.root_partition)


def _look(ctx: TaskContext, disk: GuestDisk, root_partition: str) -> GuestFacts:
    """Find out where in the disk is what the machines' own part needs; when the metadata says where, without searching all of the disk."""
    if re.fullmatch(r"/dev/sda\d+", root_partition):
        try:
            facts, fstab = _look_at(ctx, disk, [["mount-ro", root_partition, "/"]])
        except GuestfsMissing:
            raise
        except GuestfsError as failure:
            ctx.log(f"'{root_partition}' is not the root file system of '{disk.path}': {failure.message}", logging.WARNING)
        else:
            if facts.passwd.strip() and not any(place in _TOLD_PLACES for place in _places_of(fstab)):
                return facts
    return _look_at(ctx, disk, None)[0]


def _look_at(ctx: TaskContext, disk: GuestDisk, mounts: list[list[str]] | None) -> tuple[GuestFacts, str]:
    """Return what is in a disk, and its table of file systems; they are mounted as said, or as libguestfs finds them."""
    commands = [*(mounts or ()), ["echo", _MARK], ["mountpoints"], ["echo", _MARK], ["list-filesystems"]]
    for path in (*NAMED_FILES, "/etc/fstab", "/etc/passwd"):
        commands += [["echo", _MARK], ["-cat", path]]
    said = guestfish(ctx, [disk], commands, read_only=True, timeout_s=LAUNCH_TIMEOUT_S, inspect=mounts is None)
    mounted, listed, *texts, fstab, passwd = said.split(f"{_MARK}\n")[1:]
    kinds = parse_file_systems(listed)
    places = sorted(parse_file_systems(mounted).items(), key=lambda each: len(each[1]))
    named = {path: _as_written(text) for path, text in zip(NAMED_FILES, texts, strict=True) if PLACEHOLDER in text}
    return GuestFacts(tuple((name, place, kinds.get(name, "")) for name, place in places), named, passwd), fstab


def _places_of(fstab: str) -> list[str]:
    lines = (line.split() for line in fstab.splitlines() if not line.lstrip().startswith("#"))
    return [fields[1] for fields in lines if len(fields) > 1]


def _as_written(text: str) -> str:
    """Take back the newline that guestfish prints after a file."""
    return text[:-1] if text.endswith("\n\n") else text


@contextmanager
def _password_file(password: str | None) -> Iterator[str | None]:
    """A file that only we can read, with the password: other users may see the words of a command."""
    if password is None:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", prefix="lagotui-", encoding="utf-8") as file:
        file.write(f"{password}\n")
        file.flush()
        yield file.name


def _identity(image: Path) -> str:
    """Return what changes when the image does: the hash that the store keeps beside it, else its size and age."""
    sidecar = image.with_name(f"{image.name}.hash")
    try:
        return sidecar.read_text(encoding="utf-8").strip() if sidecar.is_file() else f"{image.stat().st_size} {image.stat().st_mtime_ns}"
    except OSError as failure:
        raise GuestfsError(f"image '{image}' cannot be read: {failure.strerror}") from failure


def _facts_path(layer: Path) -> Path:
    return layer.with_suffix(".json")


def _read_facts(layer: Path) -> GuestFacts:
    data = json.loads(_facts_path(layer).read_text(encoding="utf-8"))
    return GuestFacts(tuple((name, place, kind) for name, place, kind in data["mounts"]), data["named"], data["passwd"])


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix in (".qcow2", ".json", ".making") and path.stat().st_mtime < time.time() - KEPT_S:
            path.unlink(missing_ok=True)


# the machines


def bootstrap(ctx: TaskContext, machines: Sequence[MachineDisk]) -> None:
    """Prepare the disks of machines that are down, and tell each machine what it is.

    Raises:
        GuestfsError: a disk cannot be prepared.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    ready = [(machine, _with_shared_part(ctx, machine)) for machine in machines]
    together = [(machine, facts) for machine, facts in ready if facts.mixes]
    for start in range(0, len(together), SESSION_DISKS):
        _tell(ctx, together[start : start + SESSION_DISKS])
    for machine, facts in ready:
        if not facts.mixes:
            _tell_alone(ctx, machine, facts)


def _with_shared_part(ctx: TaskContext, machine: MachineDisk) -> GuestFacts:
    if machine.is_alone:
        with _named(f"machine '{machine.told.name}': disk '{machine.path}'"):
            return _sysprep(ctx, GuestDisk(machine.path, machine.format), machine.preparation)
    layer = prepare(ctx, machine.preparation)
    copy_image(ctx, layer, machine.path)
    if machine.size is not None:
        grow(ctx, machine.path, machine.size)
    return _read_facts(layer)


def _tell(ctx: TaskContext, machines: Sequence[tuple[MachineDisk, GuestFacts]]) -> None:
    disks = [GuestDisk(machine.path, machine.format) for machine, _ in machines]
    commands = [
        command for number, (machine, facts) in enumerate(machines) for command in machine_commands(machine.told, facts, device(number))
    ]
    names = ", ".join(machine.told.name for machine, _ in machines)
    with _named(f"machines {names}: their disks"):
        guestfish(ctx, disks, commands, read_only=False, timeout_s=2 * LAUNCH_TIMEOUT_S)


def _tell_alone(ctx: TaskContext, machine: MachineDisk, facts: GuestFacts) -> None:
    commands = machine_commands(machine.told, facts, None)
    with _named(f"machine '{machine.told.name}': disk '{machine.path}'"):
        guestfish(ctx, [GuestDisk(machine.path, machine.format)], commands, read_only=False, inspect=True)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say of what goes wrong in the block which disk it is about."""
    try:
        yield
    except GuestfsMissing:
        raise
    except GuestfsError as failure:
        raise GuestfsError(f"{what} cannot be prepared: {failure.message}", hint=_HINT, stderr=failure.stderr) from failure
