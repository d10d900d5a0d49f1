"""Verbs and output formats of plugins."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError

from ..plugins import PLUGIN_ENTRY_POINTS, NoSuchPluginError, PluginError
from ..plugins.registry import find, names
from ..present.lago_formats import FORMATS
from . import Command, Verb
from .session import TICK_S, Session

if TYPE_CHECKING:
    from ..plugins.cli import CLIPlugin
    from ..sdk import SDK

VERBS = PLUGIN_ENTRY_POINTS["cli"]
OUTPUT = PLUGIN_ENTRY_POINTS["out"]

_PARSER_SETTINGS = frozenset({"description", "epilog", "prefix_chars", "usage"})
"""What a plugin's `init_args` may say of its parser, beside `help`."""


def plugged_verb(name: str) -> tuple[Verb, Command] | None:
    """Return how a plugin's verb is introduced and done; None when no plugin has it, or it cannot be loaded."""
    from ..plugins.cli import CLIPlugin

    plugin = find(VERBS, name, instantiate=True)
    if plugin is None:
        return None
    if not isinstance(plugin, CLIPlugin):
        raise NoSuchPluginError(f"the plugin '{name}' of '{VERBS}' is no CLIPlugin", hint="ask whoever made it")
    settings = plugin.init_args or {}
    told = str(settings.get("help") or f"of the plugin {type(plugin).__module__}")

    def run(session: Session, arguments: Namespace) -> int:
        return _run(session, name, plugin, arguments)

    def add_arguments(parser: ArgumentParser) -> None:
        for key in _PARSER_SETTINGS & settings.keys():
            setattr(parser, key, settings[key])
        parser.prefix_chars += "-"  # of -h
        try:
            plugin.populate_parser(parser)
        except Exception as failure:  # a stranger's code
            raise PluginError(f"the plugin '{name}' cannot say what it takes: {type(failure).__name__}: {failure}") from failure

    return Verb("", told, name), Command(run, add_arguments)


def plugged_text(data: Any, out_format: str) -> str:
    """Return a result in the format of a plugin.

    Raises:
        NoSuchPluginError: no plugin has it.
        PluginError: the plugin cannot do it.
    """
    from ..plugins.output import OutFormatPlugin

    plugin = find(OUTPUT, out_format, instantiate=True)
    if not isinstance(plugin, OutFormatPlugin):
        known = ", ".join((*FORMATS, *(each for each in names(OUTPUT) if each not in (*FORMATS, out_format))))
        raise NoSuchPluginError(f"there is no output format '{out_format}'", hint=f"choose one of {known}")
    try:
        text = plugin.format(data)
    except Exception as failure:  # a stranger's code
        raise PluginError(f"the output format '{out_format}' failed: {type(failure).__name__}: {failure}") from failure
    if not isinstance(text, str):
        raise PluginError(f"the output format '{out_format}' gave {type(text).__name__} instead of text")
    return text


def _run(session: Session, name: str, plugin: CLIPlugin, arguments: Namespace) -> int:
    from dataclasses import asdict

    from ..sdk.environment import SDK
    from ..sdk.tasks import use_bus

    def env() -> SDK:
        return SDK(session.engine, session.env())

    settings = {key: value for key, value in asdict(session.settings).items() if key != "provenance"}
    use_bus(session.engine.bus)
    with _narrated(session):
        try:
            code = plugin.do_run(Namespace(**{**settings, "env": env, **vars(arguments)}))
        except EngineError:
            raise
        except Exception as failure:  # a stranger's code
            if session.settings.loglevel == "debug":
                session.voice.trace(failure)
            raise PluginError(
                f"the plugin '{name}' failed: {type(failure).__name__}: {failure}", hint="where it failed: add -l debug"
            ) from failure
    return code if isinstance(code, int) else 0


@contextmanager
def _narrated(session: Session) -> Iterator[None]:
    """Tell what happens on the engine's bus while a plugin works."""
    ended = threading.Event()
    reader = session.engine.bus.subscribe()

    def tell() -> None:
        for batch in reader.batches(per_second=1 / TICK_S, until=ended.is_set):
            session.voice.tell(batch)

    teller = threading.Thread(target=tell, name="narration", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join(5.0)
        reader.close()
