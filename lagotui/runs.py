"""What the UI asks the engine to do, as data: its title on screen, and its headless form."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath


class Verb(StrEnum):
    UP = "up"
    START = "start"
    STOP = "stop"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    DESTROY = "destroy"
    RECOVER = "recover"


_DONE = {
    Verb.UP: "is up: ssh answers",
    Verb.SNAPSHOT: "snapshot taken",
    Verb.REVERT: "reverted",
    Verb.DESTROY: "destroyed",
    Verb.RECOVER: "recovered",
}
"""The others show on the screen anyway."""

_DOING = {
    Verb.UP: "Bringing up",
    Verb.START: "Starting",
    Verb.STOP: "Stopping",
    Verb.SNAPSHOT: "Taking a snapshot of",
    Verb.REVERT: "Reverting",
    Verb.DESTROY: "Destroying",
    Verb.RECOVER: "Recovering",
}


@dataclass(frozen=True, slots=True)
class RunRequest:
    verb: Verb
    env: str
    """Path of the prefix; for `up` of the one that will be made."""
    machines: tuple[str, ...] = ()
    """Empty: all of them."""
    name: str = ""
    """Of the snapshot."""
    init_file: str = ""
    """For `up`."""

    @property
    def title(self) -> str:
        """Say what is going on: `Starting db01, web01`."""
        whom = ", ".join(self.machines) or env_label(self.env)
        return f"{_DOING[self.verb]} {whom}"

    @property
    def ending(self) -> str:
        """Say that it went well: `web-cluster reverted`; "" when nobody needs to be told."""
        return f"{env_label(self.env)} {_DONE[self.verb]}" if self.verb in _DONE else ""

    @property
    def headless(self) -> str:
        """Return the command line that does the same; "" where the predecessor's verbs cannot say it."""
        if self.verb is Verb.UP:
            return command_line("up", str(PurePath(self.env).parent), self.init_file)
        if self.verb in (Verb.SNAPSHOT, Verb.REVERT):
            return "" if self.machines else verb_line(self.env, self.verb, self.name)
        return verb_line(self.env, self.verb, *self.machines)


def verb_line(env: str, verb: str, *words: str) -> str:
    """Return the headless form of a verb on an environment."""
    path = PurePath(env)
    return command_line("-w", str(path.parent), "-P", path.name, verb, *words)


def command_line(*words: str) -> str:
    return shlex.join(("lagotui", "--run", *words))


def env_label(env: str) -> str:
    """Name an environment as its owner does: by the folder that holds its workdir, and the prefix where that says more."""
    path = PurePath(env)
    folder = workdir_label(env)
    return folder if path.name == "default" else f"{folder}/{path.name}"


def workdir_label(env: str) -> str:
    """Return the name of the workdir; of the folder around it where the workdir has the usual name `.lago`."""
    workdir = PurePath(env).parent
    return workdir.parent.name if workdir.name == ".lago" else workdir.name


def common_snapshots(snapshots: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Return every snapshot name with the number of machines that have it, in the order they were first seen."""
    counts: dict[str, int] = {}
    for names in snapshots:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return list(counts.items())
