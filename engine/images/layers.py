"""Images of the user's that stand on a template by its name, as exports of the predecessor do, and the facts that lie beside images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..process import run
from ..spec import Json
from .copying import copy_sparse
from .disks import CREATE_TIMEOUT_S, ImageInfo, probe, replacing, trusted_chain

MAX_SIDECAR_BYTES = 1024 * 1024

_IMAGE_SUFFIXES = frozenset({".qcow2", ".raw", ".img"})
_TEMPLATE = re.compile(r"(?:[^/:]+:)?(?P<name>\w[\w.+-]*):(?P<version>\w[\w.+-]*)")
"""Name of a base image: `<template>:<version>`, or as the store has it, `<repo>:<template>:<version>`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """An image that may stand on another."""

    info: ImageInfo
    missing: tuple[str, str] | None = None
    """Name and version of the template that it stands on, where the file that it names is not there."""


def look_at_layer(ctx: TaskContext, path: Path, store: Path) -> Layer:
    """Find out what an image stands on: files in the store, or images right beside it, and nothing else.

    Raises:
        TemplateError: it cannot be used, or stands on a file that is neither there nor named like a template.
    """
    info = probe(ctx, path)
    if info.backing is not None and not info.backing.exists():
        template = layer_name(info.backing.name)
        if template is None:
            raise TemplateError(
                f"image '{path}' stands on '{info.backing}', which is not there, and '{info.backing.name}' is not the name of a template",
                hint="put that file beside the image; templates are named <template>:<version>",
            )
        return Layer(info, template)
    if info.backing is not None and info.backing.samefile(path):
        raise TemplateError(f"image '{path}' stands on itself")
    trusted_chain(ctx, path, (store, *_beside(ctx, path, info)))
    return Layer(info)


def _beside(ctx: TaskContext, path: Path, info: ImageInfo) -> tuple[Path, ...]:
    """Return the images below one that can be trusted: right beside it, and looking like images, not like any file of the user's."""
    folder = path.absolute().parent.resolve()
    found: list[Path] = []
    while info.backing is not None and (place := info.backing.resolve()).parent == folder and place not in found:
        if not (info.backing_format == "qcow2" or _TEMPLATE.fullmatch(place.name) or place.suffix in _IMAGE_SUFFIXES):
            break
        found.append(place)
        info = probe(ctx, place)
    return tuple(found)


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


def copy_onto(ctx: TaskContext, layer: Path, path: Path, parent: Path) -> None:
    """Copy a layer to `path` and make the copy stand on `parent`; the layer itself is left as it is.

    Raises:
        TemplateError: one of the images cannot be used.
        CommandFailed: the copy cannot be changed.
        DiskFull: there is no room.
    """
    below = probe(ctx, parent)
    require_same_base(read_sidecar(layer), layer, parent)
    with replacing(path) as new:
        copy_sparse(ctx, layer, new)
        run(ctx, ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", parent, "-F", below.format, new], timeout_s=CREATE_TIMEOUT_S)


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
