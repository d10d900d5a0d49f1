"""The known_hosts file of a prefix: which host key each machine has. The keys that we made are known before the first connection."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import PrefixDamaged
from ..state.atomic import write_text
from .keys import known_hosts_lines

_rewriting = threading.Lock()
"""Machines of one environment are prepared in parallel, all by the one process that holds the prefix."""


@dataclass(frozen=True, slots=True)
class HostKey:
    type: str
    """E.g. `ssh-ed25519`."""
    data: str
    """The public key in base64."""

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: `SHA256:…`."""
        try:
            blob = base64.b64decode(self.data, validate=True)
        except binascii.Error:
            return "a key that cannot be read"
        return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def remember_host_key(known_hosts: Path, names: Iterable[str], public_line: str) -> None:
    """Record the host key of one machine under its names and addresses; what these stood for before is forgotten.

    Raises:
        DiskFull: there is no room for the file.
    """
    new = known_hosts_lines(names, public_line)
    replaced = {line.split()[0] for line in new}
    with _rewriting:
        kept = [line for line in map(str.strip, _lines(known_hosts)) if line and not _stands_for(line, replaced)]
        write_text(known_hosts, "".join(f"{line}\n" for line in (*kept, *new)), mode=0o644)


def host_keys_of(known_hosts: Path, name: str) -> tuple[HostKey, ...]:
    """Return the keys that `name` may show; () when it is not known.

    Raises:
        PrefixDamaged: the file cannot be read.
    """
    words = [line.split() for line in _lines(known_hosts)]
    return tuple(HostKey(line[1], line[2]) for line in words if len(line) >= 3 and name in line[0].split(","))


def _stands_for(line: str, names: set[str]) -> bool:
    return not line.startswith("#") and set(line.split()[0].split(",")) <= names


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise PrefixDamaged(f"'{path}' cannot be read: {error}") from error
