"""export."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exit_codes import ExitCode
from ..present.lago_formats import dump
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.api import ExportRequest


def _arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--vm-names", nargs="+", default=[], metavar="VM", help="machines to export (all)")
    add("-s", "--standalone", action="store_true", help="merge disks with their templates, so that they stand alone")
    add("-c", "--compress", action="store_true", help="pack the images with xz; init takes them so")
    add("-d", "--dst-dir", default=".", metavar="DIR", help="folder that everything goes into (.)")
    add(
        "--init-file-name",
        default="LagoInitFile",
        metavar="NAME",
        help="name of the init file that is made (LagoInitFile); -f chooses its format",
    )
    add("--collect-only", action="store_true", help="only list the images that would be exported")
    add("--without-threads", action="store_true", help="export one disk after another")
    add("--snapshot", default="", metavar="NAME", help="export the disks as they are in a snapshot; machines may go on running")
    add("--exact", action="store_true", help="keep subnets, addresses and passwords in the init file")
    add("--force", action="store_true", help="replace files that are there")


def _export(session: Session, arguments: Namespace) -> int:
    env = session.env()
    if arguments.collect_only:
        session.show(session.engine.export_sources(env, arguments.vm_names, arguments.snapshot))
        return ExitCode.OK
    request = _request(arguments)
    out_format = session.settings.out_format
    if out_format in ("default", "yaml"):
        session.follow(lambda engine: engine.export(env, request))
    else:
        session.follow(lambda engine: engine.export(env, request, lambda data: _written(data, out_format)))
    return ExitCode.OK


def _request(arguments: Namespace) -> ExportRequest:
    from engine.api import ExportRequest

    return ExportRequest(
        folder=arguments.dst_dir,
        machines=arguments.vm_names,
        standalone=arguments.standalone,
        compress=arguments.compress,
        init_file_name=arguments.init_file_name,
        snapshot=arguments.snapshot,
        exact=arguments.exact,
        force=arguments.force,
        side_by_side=not arguments.without_threads,
    )


def _written(data: Mapping[str, Any], out_format: str) -> str:
    return dump(data, out_format)


COMMANDS: Mapping[str, Command] = {"export": Command(_export, _arguments)}
