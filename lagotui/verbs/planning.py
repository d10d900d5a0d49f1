"""plan, generate-init, leases: nothing is changed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from ..exit_codes import ExitCode
from ..present.plan import plan_data, plan_text
from . import Command
from .lifecycle import init_arguments, request_of
from .session import Session


def _plan(session: Session, arguments: Namespace) -> int:
    request = request_of(session, arguments)
    plan = session.engine.plan(request)
    if session.settings.out_format == "default":
        session.write(plan_text(plan))
    else:
        session.show(plan_data(plan))
    return ExitCode.OK


def _generate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("without", nargs="*", metavar="PATH", help="what to leave out; * stands for every name: 'domains/*/metadata'")


def _generate(session: Session, arguments: Namespace) -> int:
    data = session.engine.generate_init(session.env(), arguments.without)
    if session.settings.out_format in ("default", "yaml"):
        session.write(_yaml(data))
    else:
        session.show(data)
    return ExitCode.OK


def _yaml(data: Mapping[str, Any]) -> str:
    """Return an init file in its usual form, with its keys in the order of their weight."""
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return text


def _no_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def _leases(session: Session, _arguments: Namespace) -> int:
    leases = session.engine.leases()
    session.show({each.subnet: {"prefix": each.prefix, "uuid": each.uuid, "state": "held" if each.valid else "stale"} for each in leases})
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "plan": Command(_plan, init_arguments),
    "generate-init": Command(_generate, _generate_arguments),
    "leases": Command(_leases, _no_arguments),
}
