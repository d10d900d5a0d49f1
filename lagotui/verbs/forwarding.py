"""forward: ports of this machine that lead to ports of machines, until Ctrl-C."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..exit_codes import ExitCode
from . import Command
from .session import Session

PORTS = range(1, 65536)
LOCAL_PORTS = range(65536)
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Wanted:
    machine: str
    local_port: int
    """0: a free one."""
    port: int
    """Of the machine."""


def _arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    port = "a machine's port, and ours that leads to it: the same one unless it is given, a free one for 0"
    add("words", nargs="+", metavar="[VM:][LOCAL:]PORT", help=port)
    add("--bind", metavar="ADDRESS", default="127.0.0.1", help="address of this computer to listen on (127.0.0.1)")


def _forward(session: Session, arguments: Namespace) -> int:
    wanted = wanted_forwards(arguments.words)
    env = session.env()
    with ExitStack() as opened, _ends_blocked():
        ways = [
            opened.enter_context(
                session.engine.forward(
                    env, each.machine, each.port, bind=arguments.bind, local_port=each.local_port, tell=session.voice.note
                )
            )
            for each in wanted
        ]
        listening = [f"{_shown(way.address)}:{way.port}" for way in ways]
        session.show({where: f"{each.machine}:{each.port}" for where, each in zip(listening, wanted, strict=True)})
        session.voice.note("forwarding; Ctrl-C ends it")
        signal.sigwait(ENDS)
    return ExitCode.OK


def wanted_forwards(words: Sequence[str]) -> list[Wanted]:
    """Return what is asked for; a word without a port names the machine of those behind it.

    Raises:
        ConfigError: a word is nothing of the kind.
    """
    from engine.errors import ConfigError

    found: list[Wanted] = []
    machine = ""
    for word in words:
        *head, last = word.split(":")
        if not last.isdecimal() and not head:
            machine = last
            continue
        local = head.pop() if head and head[-1].isdecimal() else last
        named = head.pop() if head else machine
        if head or not last.isdecimal() or int(last) not in PORTS or int(local) not in LOCAL_PORTS:
            raise ConfigError(f"'{word}' is no port", hint="write it like 8080:80, vm0:8080:80 or vm0:80")
        if not named:
            raise ConfigError(f"'{word}': of which machine?", hint=f"name it: lagotui --run forward VM {word}")
        found.append(Wanted(named, int(local), int(last)))
    if not found:
        raise ConfigError("there is no port to forward", hint=f"give one: lagotui --run forward {machine} 8080:80")
    return found


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@contextmanager
def _ends_blocked() -> Iterator[None]:
    """Keep the signals that end us for whoever waits for them; threads that are started meanwhile leave them alone, too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


COMMANDS: Mapping[str, Command] = {"forward": Command(_forward, _arguments)}
