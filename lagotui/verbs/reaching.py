"""shell, console, enter: the way into a machine, or beside it. shell and enter become the program they start."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from engine.errors import WorkdirError

from ..exit_codes import ExitCode
from ..streams import tell
from . import Command
from .options import parser_for_verb
from .session import Interrupted, Session

if TYPE_CHECKING:
    from engine.state.prefix import Prefix

_HELP = (["-h"], ["--help"])


def _shell(session: Session, arguments: Namespace) -> int:
    words: list[str] = arguments.words
    if not words:
        _shell_parser().error("the following arguments are required: HOST")
    try:
        env = session.env()
    except WorkdirError:
        if words in _HELP:
            return _explain(_shell_parser())
        raise
    machine = match_machine(words[0], env.load_env().machines)
    if machine is None and words in _HELP:
        return _explain(_shell_parser())
    name = env.machine(words[0]).name if machine is None else machine
    script, command = what_to_run(words[1:])
    if script is not None:
        os.dup2(os.open(script, os.O_RDONLY), 0)
    tty = not command and sys.stdin.isatty()
    if not command and not tty:
        command = ["bash"]
    return _ssh(session, env, name, command, tty=tty)


def _ssh(session: Session, env: Prefix, machine: str, command: Sequence[str], *, tty: bool) -> int:
    """Run a command in a machine; one whose ssh does not answer yet, or does not let us in yet, is waited for first."""
    from .ssh_client import run_ssh

    argv = session.engine.ssh_command(env, machine, ["-c", *command] if command else [], tty=tty)  # -c: no script of ours
    if session.engine.speaks_ssh(env, machine):
        end = run_ssh(argv)
        if end.was_let_in:
            tell(sys.stderr, end.said.decode(errors="replace"))
            return end.code
    session.follow(lambda engine: engine.wait_ssh(env, machine), quiet=True)
    return _become(session, argv)


def match_machine(host: str, machines: Iterable[str]) -> str | None:
    """Return the machine called `host`, else the first whose name ends with it; an empty variable of a script's is nobody's name."""
    names = list(machines)
    return host if host in names else next((name for name in names if host and name.endswith(host)), None)


def what_to_run(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the file of this computer that becomes the command's stdin, and the command; a marked command is never a file."""
    if len(words) == 1 and _is_file(words[0]):
        return words[0], ["bash", "-s"]
    return None, words_of_command(words)


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # no possible file name: too long, or with a zero byte
        return False


def words_of_command(words: Sequence[str]) -> list[str]:
    """Return the command behind the machine's name: a leading `--` and `-c` are no part of it."""
    command = list(words)
    for marker in ("--", "-c"):
        if command[:1] == [marker]:
            del command[0]
    return command


def _enter(session: Session, arguments: Namespace) -> int:
    words: list[str] = arguments.words
    if words in _HELP:
        return _explain(_parser("enter", "[--] [COMMAND…]"))
    command = words_of_command(words) or [os.environ.get("SHELL", "/bin/sh")]
    try:
        env = session.env()
    except WorkdirError:  # the private world is there without an environment, too
        env = None
    return _become(session, session.engine.enter_command(env, command))


def _console_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machine", metavar="HOST", help="the machine")


def _console(session: Session, arguments: Namespace) -> int:
    from engine.errors import ConfigError

    from .console import bridge

    if not sys.stdin.isatty():
        raise ConfigError("console needs a terminal", hint=f"what it has printed: lagotui --run logs {arguments.machine}")
    env = session.env()
    name = match_machine(arguments.machine, env.load_env().machines) or env.machine(arguments.machine).name
    session.voice.note(f"console of {name}; Ctrl-] leaves it")
    with session.engine.console(env, name) as stream, _ends_raised():
        left = bridge(stream, sys.stdin.fileno(), sys.stdout.fileno())
    session.voice.note("" if left else f"\n{name} closed its console: it went down, or somebody else opened it")
    return ExitCode.OK if left else ExitCode.UNEXPECTED


@contextmanager
def _ends_raised() -> Iterator[None]:
    """Let signals that end us be raised, so that the terminal is put back on the way out."""

    def end(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum, f"{signal.Signals(signum).name}: the console was left")

    before = {signum: signal.signal(signum, end) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _shell_parser() -> ArgumentParser:
    return _parser("shell", "HOST [COMMAND…]")


def _parser(verb: str, usage: str) -> ArgumentParser:
    parser = parser_for_verb(verb)
    parser.usage = f"{parser.prog} {usage}"
    return parser


def _explain(parser: ArgumentParser) -> int:
    sys.stdout.write(parser.format_help())
    return ExitCode.OK


def _become(session: Session, argv: Sequence[str]) -> int:
    """Go on as `argv`: its exit code, its signals and its terminal are ours."""
    session.close()
    session.voice.close()
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


COMMANDS: Mapping[str, Command] = {
    "shell": Command(_shell, None),
    "enter": Command(_enter, None),
    "console": Command(_console, _console_arguments),
}
