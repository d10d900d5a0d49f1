"""generate-config: the settings as they are, as a file to begin with."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from .. import __version__
from ..exit_codes import ExitCode
from ..present.config_file import Entry, config_text
from . import Command
from .session import Session

_ONLY_IN_FILES = {
    "private_outside": "whether machines of the private host reach outside: auto, or no (auto)",
    "template_timeout": "seconds that a server of templates may be silent",
    "wait_suspend": "seconds that a starting machine is held paused",
}
"""Settings that no option has, and what they are."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="also name what is not set, and say where each value comes from")


def _generate_config(session: Session, arguments: Namespace) -> int:
    from engine.config import sections

    from .options import PROG
    from .whole import actions_of, whole_parser

    helps = {action.dest: str(action.help) for action in actions_of(whole_parser(PROG)) if action.option_strings}
    settings = session.settings
    entries = [
        Entry(name, section, getattr(settings, name), helps.get(name) or _ONLY_IN_FILES[name], settings.provenance[name])
        for name, section in sections().items()
    ]
    made = f"made by lagotui {__version__} on {time.strftime('%Y-%m-%d %H:%M:%S')}"
    session.write(config_text(entries, made=made, verbose=arguments.verbose))
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {"generate-config": Command(_generate_config, _arguments)}
