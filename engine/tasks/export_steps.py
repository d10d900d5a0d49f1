"""How an export comes to be: images and files in a folder of their own, then in their places; and how its images are taken in again."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import ConfigError, WorkdirError
from ..spec import Json
from ..state.atomic import sync_dir, write_bytes, write_text
from .scope import RunScope

_STAGING = re.compile(r"\.export-[0-9a-f]+\.partial")
NEW, OLD = "new", "old"
"""Folders in the staging folder: what is made, and what it replaces."""


def make_export_folder(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.copying import full_disk_named

    with full_disk_named(Path(subject)):
        for folder in args["made"]:
            Path(folder).mkdir(exist_ok=True)
        for folder in (NEW, OLD):
            Path(args["staging"], folder).mkdir(parents=True)


def clear_export(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    staging = Path(args["staging"])
    if not _STAGING.fullmatch(staging.name):
        raise WorkdirError(f"'{staging}' is none of our folders: it was left alone")
    if staging.is_dir() and not staging.is_symlink():
        shutil.rmtree(staging)
    for folder in reversed(args["made"]):
        with contextlib.suppress(OSError):  # others have put something into it, or it is gone
            Path(folder).rmdir()


def export_disk(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images import export

    job = export.DiskExport(
        source=Path(args["source"]),
        source_format=args["source_format"],
        target=Path(args["target"]),
        format=args["format"],
        parent=Path(args["parent"]) if args["parent"] else None,
        parent_format=args["parent_format"],
        parent_name=args["parent_name"],
        own_layers=args["own_layers"],
        verbatim=args["verbatim"],
        xz_threads=args["xz_threads"],
        expected_bytes=args["expected_bytes"],
    )
    export.export_disk(ctx, job, args["metadata"])


def write_export(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Write the init file, and copy the deploy scripts that it names."""
    for source, target in args["copies"].items():
        try:
            content = Path(source).read_bytes()
        except OSError as failure:
            raise WorkdirError(f"the deploy script '{source}' cannot be read: {failure.strerror}") from failure
        Path(target).parent.mkdir(exist_ok=True)
        write_bytes(Path(target), content)
    write_text(Path(args["path"]), args["text"])


def unpack_image(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Take in an image that an export has packed."""
    from ..images.packed import unpack

    unpack(ctx, Path(args["source"]), Path(args["path"]), Path(args["parent"]) if args["parent"] else None, is_disk=not args["iso"])


def publish_export(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Put all files in their places; what is replaced is set aside, so that it can come back."""
    from ..images.copying import full_disk_named

    folder, staging = Path(args["folder"]), Path(args["staging"])
    for name in args["files"]:
        new, old, final = staging / NEW / name, staging / OLD / name, folder / name
        with full_disk_named(final):
            final.parent.mkdir(exist_ok=True)
            if os.path.lexists(final):
                if not args["force"]:
                    raise ConfigError(
                        f"'{final}' has come to be meanwhile: nothing was replaced", hint="export into another folder: -d DIR"
                    )
                old.parent.mkdir(exist_ok=True)
                final.rename(old)
            new.rename(final)
    for each in {(folder / name).parent for name in args["files"]}:
        sync_dir(each)


def unpublish_export(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Take the files back to where they were made. Without that folder nothing is to be done: all this has been taken back already."""
    folder, staging = Path(args["folder"]), Path(args["staging"])
    if not (staging / NEW).is_dir():
        return
    for name in reversed(args["files"]):
        new, old, final = staging / NEW / name, staging / OLD / name, folder / name
        if not os.path.lexists(new) and os.path.lexists(final):
            final.rename(new)
        if os.path.lexists(old):
            old.rename(final)
        if final.parent != folder:
            with contextlib.suppress(OSError):  # it holds something else, too
                final.parent.rmdir()
