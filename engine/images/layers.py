"""Images of the user's that stand on a template by its name, as exports of the predecessor do, and the facts that lie beside images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..process import run
from ..spec import Json
from .copying import copy_sparse
from .disks import CREATE_TIMEOUT_S, ImageInfo, probe, replacing, trusted_chain

MAX_SIDECAR_BYTES = 1024 * 1024
COMMIT_TIMEOUT_S = 3600.0

_IMAGE_SUFFIXES = frozenset({".qcow2", ".raw", ".img"})
_TEMPLATE = re.compile(r"(?:[^/:]+:)?(?P<name>\w[\w.+-]*):(?P<version>\w[\w.+-]*)")
"""Name of a base image: `<template>:<version>`, or as the store has it, `<repo>:<template>:<version>`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """An image that may stand on another."""

    info: ImageInfo
    missing: tuple[str, str] | None = None
    """Name and version of the template that it stands on, where the file that should be it is not there."""
    between: tuple[Path, ...] = ()
    """Images between it and that template, the upper ones first."""


def look_at_layer(ctx: TaskContext, path: Path, store: Path) -> Layer:
    """Find out what an image stands on: files in the store, or images right beside it, and nothing else.

    Raises:
        TemplateError: it cannot be used, or stands on a file that is neither there nor named like a template.
    """
    images = _beside(ctx, path)
    lowest = images[-1]
    if lowest.backing is not None and not lowest.backing.exists():
        template = layer_name(lowest.backing.name)
        if template is None:
            raise TemplateError(
                f"image '{lowest.path}' stands on '{lowest.backing}', which is not there,"
                f" and '{lowest.backing.name}' is not the name of a template",
                hint="put that file beside the image; templates are named <template>:<version>",
            )
        return Layer(images[0], template, tuple(image.path for image in images[1:]))
    if lowest.backing is not None and lowest.backing.samefile(path):
        raise TemplateError(f"image '{path}' stands on itself")
    trusted_chain(ctx, path, (store, *(image.path.resolve() for image in images[1:])))
    return Layer(images[0])


def _beside(ctx: TaskContext, path: Path) -> list[ImageInfo]:
    """Return an image and those below it that can be trusted: right beside it, and looking like images, not like any file of the user's."""
    folder = path.absolute().parent.resolve()
    found = [probe(ctx, path)]
    seen = {path.absolute().resolve()}
    while (backing := found[-1].backing) is not None and backing.exists():
        place = backing.resolve()
        looks_so = found[-1].backing_format == "qcow2" or _TEMPLATE.fullmatch(place.name) or place.suffix in _IMAGE_SUFFIXES
        if place.parent != folder or place in seen or not looks_so:
            break
        seen.add(place)
        found.append(probe(ctx, place))
    return found


def layer_name(backing: str) -> tuple[str, str] | None:
    """Return name and version of the template that a backing file is named after; None when it is named otherwise."""
    match = _TEMPLATE.fullmatch(Path(backing).name)
    return (match["name"], match["version"]) if match else None


def require_same_base(known: Mapping[str, Json], layer: Path, parent: Path) -> None:
    """Raises: TemplateError: the layer was made on another image than the one that has the name here."""
    then, beside = known.get("base_sha1"), parent.with_name(f"{parent.name}.hash")
    if not isinstance(then, str) or not beside.is_file():
        return  # nobody knows: exports of the predecessor
    now = beside.read_text(errors="replace").split()[:1]
    if now and len(now[0]) == len(then) and now[0].lower() != then.lower():
        raise TemplateError(
            f"image '{layer}' was made on another '{parent.name}' than the one that is here (sha1 {then}, not {now[0]})",
            hint="export it once more with --standalone, so that it needs no template",
        )


def copy_onto(ctx: TaskContext, layer: Path, path: Path, parent: Path, between: Sequence[Path] = ()) -> None:
    """Copy a layer to `path` and make the copy stand on `parent`; the layer itself is left as it is.

    Args:
        ctx: the task it belongs to.
        layer: the top.
        path: of the copy.
        parent: what the lowest layer stands on.
        between: layers below the top, the upper ones first; the copy holds what all of them hold.

    Raises:
        TemplateError: one of the images cannot be used.
        CommandFailed: the copy cannot be changed.
        DiskFull: there is no room.
    """
    below = probe(ctx, parent)
    *uppers, lowest = (layer, *between)
    require_same_base(read_sidecar(lowest), lowest, parent)
    with replacing(path) as new:
        _copy_over(ctx, lowest, new, parent, below.format)
        for upper in reversed(uppers):
            with replacing(path.with_name(f"{path.name}.upper")) as copy:
                _copy_over(ctx, upper, copy, new, "qcow2")
                run(ctx, ["qemu-img", "commit", "-q", "-f", "qcow2", copy], timeout_s=COMMIT_TIMEOUT_S)
            path.with_name(f"{path.name}.upper").unlink()


def _copy_over(ctx: TaskContext, layer: Path, path: Path, backing: Path, backing_format: str) -> None:
    copy_sparse(ctx, layer, path)
    run(ctx, ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", backing, "-F", backing_format, path], timeout_s=CREATE_TIMEOUT_S)


def read_sidecar(image: Path) -> Mapping[str, Json]:
    """Return what the `.metadata` file beside an image says; {} when there is none.

    Raises:
        TemplateError: it cannot be read.
    """
    sidecar = image.with_name(f"{image.name}.metadata")
    try:
        with sidecar.open("rb") as file:
            content = file.read(MAX_SIDECAR_BYTES + 1)
        data = json.loads(content) if len(content) <= MAX_SIDECAR_BYTES else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise TemplateError(f"'{sidecar}' cannot be read: {error}", hint="put it right or remove it") from error
    if not isinstance(data, dict):
        raise TemplateError(f"'{sidecar}' must hold one JSON object, no longer than 1 MiB", hint="put it right or remove it")
    return data
