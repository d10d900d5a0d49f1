"""Verbs of plugins: a class, or a function made one by decorators.

    class Noop(CLIPlugin):
        init_args = {"help": "does nothing"}

        def populate_parser(self, parser):
            parser.add_argument("--dummy-flag", action="store_true")

        def do_run(self, args):
            print("with" if args.dummy_flag else "without", "the flag")

    @cli_plugin_add_argument("--dummy-flag", action="store_true")
    @cli_plugin(help="does nothing")
    def noop(dummy_flag, **kwargs):
        print("with" if dummy_flag else "without", "the flag")

What a verb is given, beside its own arguments: the global options by their names (`workdir_path`, `prefix_name`, `out_format` …) and
`env`, a function that opens the environment as `lagotui.sdk.SDK`. An integer that it returns is the exit code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

from . import Plugin


class CLIPlugin(Plugin, ABC):
    """A verb."""

    init_args: Mapping[str, Any] = {}
    """Arguments of its parser: `help`, `description` …"""

    @abstractmethod
    def populate_parser(self, parser: ArgumentParser) -> None:
        """Add its arguments."""

    @abstractmethod
    def do_run(self, args: Namespace) -> int | None:
        """Do it; the exit code, None for 0."""


class CLIPluginFuncWrapper(CLIPlugin):
    """A function as a verb; it may still be called as a function."""

    def __init__(self, do_run: Callable[..., Any] | None = None, init_args: Mapping[str, Any] | None = None) -> None:
        self._do_run = do_run
        self.init_args = dict(init_args or {})
        self._arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.set_help()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self._do_run is not None
        return self._do_run(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> None:
        """Remember an argument; decorators are applied from the last one up."""
        self._arguments.insert(0, (args, kwargs))

    def set_help(self, help: str | None = None) -> None:
        """Set the help; without, it is the function's docstring, unless it is set already."""
        told = help or self.init_args.get("help") or (self._do_run and self._do_run.__doc__) or ""
        self.init_args = {**self.init_args, "help": told.strip()}

    def set_init_args(self, init_args: Mapping[str, Any]) -> None:
        self.init_args = {**self.init_args, **init_args}

    def populate_parser(self, parser: ArgumentParser) -> None:
        for args, kwargs in self._arguments:
            parser.add_argument(*args, **kwargs)

    def do_run(self, args: Namespace) -> int | None:
        result = self(**vars(args))
        return result if isinstance(result, int) else None


def cli_plugin(func: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """Make a function a verb: `@cli_plugin`, `@cli_plugin()` or `@cli_plugin(help="…")`."""
    if func is None:
        return lambda function: cli_plugin(function, **kwargs)
    wrapper = _wrapped(func)
    wrapper.set_init_args(kwargs)
    wrapper.set_help(kwargs.get("help"))
    return wrapper


def cli_plugin_add_argument(*args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], CLIPluginFuncWrapper]:
    """Make a function a verb, with an argument; the arguments are those of `ArgumentParser.add_argument`."""

    def decorate(func: Callable[..., Any]) -> CLIPluginFuncWrapper:
        wrapper = _wrapped(func)
        wrapper.add_argument(*args, **kwargs)
        return wrapper

    return decorate


def cli_plugin_add_help(help: str) -> Callable[[Callable[..., Any]], CLIPluginFuncWrapper]:
    """Make a function a verb, with a help text."""

    def decorate(func: Callable[..., Any]) -> CLIPluginFuncWrapper:
        wrapper = _wrapped(func)
        wrapper.set_help(help)
        return wrapper

    return decorate


def _wrapped(func: Callable[..., Any]) -> CLIPluginFuncWrapper:
    return func if isinstance(func, CLIPluginFuncWrapper) else CLIPluginFuncWrapper(func)
