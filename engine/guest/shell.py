"""OpenSSH command lines and configuration for a machine: its host key is checked, and nothing of the user's own set-up interferes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONNECT_TIMEOUT_S = 10
ALIVE_INTERVAL_S = 15
"""A machine that was stopped or reverted under a session says nothing; OpenSSH notices after three of these."""


@dataclass(frozen=True, slots=True)
class OwnLogin:
    """How the user gets into a machine that was there before us."""

    keys: tuple[Path, ...] = ()
    """Private keys, tried in this order; (): those of the ssh agent, and those that OpenSSH takes by itself."""
    ask: Callable[[str], str | None] | None = field(default=None, compare=False, repr=False)
    """Asks the user for a secret; returns None, as when it is None itself, where nobody can be asked."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Everything that a client needs to get into one machine."""

    name: str
    """The machine's; also what its host key is filed under."""
    address: str
    port: int
    user: str
    key_file: Path
    password: str | None
    """None: keys only."""
    known_hosts: Path
    first_contact: bool = False
    """Whether we could not give the machine its host key: the first one it shows is recorded, and checked from then on."""
    own: OwnLogin | None = None
    """Of a machine that was there before us: it is reached from here, whatever the way to the others, and `key_file` does not count."""


def ssh_command(target: SshTarget, proxy_command: tuple[str, ...], words: Sequence[str], tty: bool) -> list[str]:
    """Return the argv of an OpenSSH client that runs `words` in the machine.

    Args:
        target: the machine.
        proxy_command: as the host's Dialer gives it.
        words: as after the predecessor's `shell MACHINE`; see `remote_command`. When `script_of` finds a file in them, it is the
            client's stdin.
        tty: whether the command gets a terminal.
    """
    argv = ["ssh", "-F", "none", "-t" if tty else "-T"]
    for name, value in ssh_options(target, proxy_command):
        argv += ["-o", f"{name}={value}"]
    return [*argv, target.address, "--", remote_command(words)]


def remote_command(words: Sequence[str]) -> str:
    """Return what the machine's shell is given for `words`, with the predecessor's rules.

    Nothing: an interactive bash. One word that is a file of this machine: a bash that reads it. Else the words, joined by spaces and
    not quoted; a leading `-c` is dropped.
    """
    if script_of(words) is not None:
        return "bash -s"
    return " ".join(_without_c(words)) or "bash"


def script_of(words: Sequence[str]) -> Path | None:
    """Return the file of this machine that is to run in the guest, None when `words` are a command."""
    if len(words) != 1:
        return None
    path = Path(words[0])
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # no possible file name: too long, or with a zero byte
        return None


def ssh_config_block(target: SshTarget, proxy_command: tuple[str, ...]) -> str:
    """Return the lines of an ssh_config for the machine, with which every ssh, scp or rsync finds it by name."""
    options = [("HostName", target.address), *ssh_options(target, proxy_command)]
    return "".join([f"Host {target.name}\n", *(f"    {name} {value}\n" for name, value in options)])


def ssh_options(target: SshTarget, proxy_command: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the options of an OpenSSH client for the machine, their values quoted as in an ssh_config."""
    options = [
        ("User", _quoted(target.user)),
        ("Port", str(target.port)),
        *_identity(target),
        ("UserKnownHostsFile", _quoted_path(target.known_hosts)),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "accept-new" if target.first_contact else "yes"),
        ("HostKeyAlias", target.name),
        ("CheckHostIP", "no"),
        ("UpdateHostKeys", "no"),
        ("ControlPath", "none"),
        ("ConnectTimeout", str(CONNECT_TIMEOUT_S)),
        ("ServerAliveInterval", str(ALIVE_INTERVAL_S)),
        ("LogLevel", "ERROR"),
    ]
    if target.password is None:
        batch = [("BatchMode", "yes")] if target.own is None else []  # keys of the user's own may need a passphrase
        options += [*batch, ("PreferredAuthentications", "publickey")]
    else:
        options += [("PreferredAuthentications", "publickey,password,keyboard-interactive")]
    if proxy_command and target.own is None:
        options += [("ProxyCommand", shlex.join(proxy_command)), ("ProxyUseFdpass", "yes")]
    return options


def _identity(target: SshTarget) -> list[tuple[str, str]]:
    if target.own is None:
        return [("IdentityFile", _quoted_path(target.key_file)), ("IdentitiesOnly", "yes"), ("IdentityAgent", "none")]
    named = [("IdentityFile", _quoted_path(key)) for key in target.own.keys]
    return [*named, ("IdentitiesOnly", "yes")] if named else []


def _without_c(words: Sequence[str]) -> Sequence[str]:
    return words[1:] if words and words[0] == "-c" else words


def _quoted(text: str) -> str:
    """Quote one word of an ssh_config line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(text) & _SPECIAL else text


def _quoted_path(path: Path) -> str:
    return _quoted(str(path.absolute()).replace("%", "%%"))


_SPECIAL = frozenset(" \t\"'\\#=")
