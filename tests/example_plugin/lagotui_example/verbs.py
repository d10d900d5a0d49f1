"""Verbs: one as a class, one as a function."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from lagotui.plugins import CLIPlugin, cli_plugin, cli_plugin_add_argument
from lagotui.sdk import SDK, LogTask


class Greet(CLIPlugin):
    """Says hello to somebody."""

    init_args: ClassVar[Mapping[str, Any]] = {"help": "say hello to somebody"}

    def populate_parser(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--code", type=int, default=0)

    def do_run(self, args: Namespace) -> int:
        with LogTask(f"Greeting {args.name}"):
            sys.stdout.write(f"hello {args.name}, of {args.prefix_name}\n")
        return int(args.code)


@cli_plugin_add_argument("--times", type=int, default=1)
@cli_plugin(help="count the machines of the environment")
def count_machines(env: Callable[[], SDK], times: int, **_others: Any) -> None:
    for _ in range(times):
        sys.stdout.write(f"{len(env().get_vms())}\n")
