"""template build, template list."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..exit_codes import ExitCode
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.api import TemplateInfo


def _arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|list")
    build = actions.add_parser("build", help="build a built-in template")
    build.add_argument("name", metavar="NAME", help="the template, e.g. tiny")
    actions.add_parser("list", help="list the templates of the catalogue")


def _template(session: Session, arguments: Namespace) -> int:
    if arguments.action == "build":
        session.show(str(session.follow(lambda engine: engine.build_template(arguments.name))))
    else:
        session.show(template_data(session.engine.templates()))
    return ExitCode.OK


def template_data(templates: Iterable[TemplateInfo]) -> dict[str, Any]:
    """Return template → version → what is known of it."""
    data: dict[str, Any] = {}
    for template in templates:
        data.setdefault(template.name, {})[template.version] = {
            "repo": template.repo,
            "in store": template.in_store,
            "size in bytes": template.size_bytes,
            "metadata": dict(template.metadata),
        }
    return data


COMMANDS: Mapping[str, Command] = {"template": Command(_template, _arguments)}
