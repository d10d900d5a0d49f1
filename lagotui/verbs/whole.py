"""The whole command line as one parser: what completions, the man page and the configuration file are generated from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from . import VERBS, command
from .options import PROG, parser_for_run

AS_THEY_ARE = {"shell": ("HOST", "COMMAND"), "enter": ("COMMAND",)}
"""Verbs that parse nothing, and what their words stand for."""


def whole_parser(prog: str) -> argparse.ArgumentParser:
    """Return a parser of global options with every verb as a subparser; for looking at, not for parsing."""
    parser = parser_for_run()
    parser.prog = prog
    verbs = parser.add_subparsers(title="verbs", prog=prog, metavar="VERB", parser_class=argparse.ArgumentParser)
    for name, verb in VERBS.items():
        each = verbs.add_parser(name, help=verb.summary, description=f"{verb.summary[0].upper()}{verb.summary[1:]}.")
        each.epilog = f"example: {prog} {verb.example}"
        add_arguments = command(name).add_arguments
        if add_arguments is not None:
            add_arguments(each)
        for number, word in enumerate(AS_THEY_ARE.get(name, ())):
            each.add_argument(f"words{number}", nargs=argparse.REMAINDER if word == "COMMAND" else None, metavar=word)
    return parser


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Return every action of a parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from actions_of(below)


def manual_parser() -> argparse.ArgumentParser:
    """Return the parser that the man page is made from: `make docs`."""
    parser = whole_parser(PROG)
    parser.prog = "lagotui"
    parser.description = "Build, run, snapshot, share and throw away small private networks of virtual machines, described in an init file."
    parser.epilog = None
    return parser
