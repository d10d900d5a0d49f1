"""Small pieces of the language: sizes, memory, addresses, names, paths. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import join, normpath
from urllib.parse import quote, unquote, urlsplit

MIB = 1024 * 1024
MAX_MEMORY_MIB = 64 * MIB
"""64 TiB: more than any host has, so more is a slip."""
MAX_SIZE_BYTES = 2**50

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
MAX_NAME = 63
"""Characters of one label in DNS."""
MAX_DNS_NAME = 253

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(?:i?B)?|(B))?\Z", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_IPV4 = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\Z", re.ASCII)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)

SCHEMES = ("http", "https", "file")
"""Of addresses that images can be fetched from."""


class UnsetVariable(Exception):
    """A `$NAME` that nobody has given a value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def memory_mib(written: int | str) -> int | None:
    """Read an amount of memory: a bare number is MiB, `2G` and `512M` are what they say; None when it is none."""
    if isinstance(written, int):
        return written
    if _NUMBER.match(written.strip()):
        return int(written)
    size = _bytes(written)
    return None if size is None or size % MIB else size // MIB


def disk_size(written: float | str) -> str | None:
    """Return a size as qemu-img takes it: a bare number is GB (`10` → `10G`); None when it is none."""
    text = str(written).strip()
    match = _SIZE.match(text)
    if match is None:
        return None
    bare = match.group(2) is None and match.group(3) is None
    size = _bytes(f"{text}G" if bare else text)
    if size is None or not 0 < size <= MAX_SIZE_BYTES:
        return None
    if match.group(3):
        return match.group(1) if match.group(1).isdigit() else None
    return f"{match.group(1)}{(match.group(2) or 'G').upper()}"


def size_bytes(written: str) -> int:
    """Return what a size that `disk_size` made is in bytes."""
    return _bytes(written) or 0


def _bytes(text: str) -> int | None:
    match = _SIZE.match(text.strip())
    if match is None or len(match.group(1)) > 20:
        return None
    return int(float(match.group(1)) * 1024 ** _POWERS.get((match.group(2) or "").upper(), 0))


def octets(address: str) -> tuple[int, int, int, int] | None:
    """Read an IPv4 address in four decimal numbers; None when it is none."""
    match = _IPV4.match(address)
    if match is None:
        return None
    a, b, c, d = (int(part) for part in match.groups())
    if max(a, b, c, d) > 255 or any(len(part) > 1 and part[0] == "0" for part in match.groups()):
        return None
    return a, b, c, d


def is_good_name(name: str) -> bool:
    return len(name) <= MAX_NAME and NAME.match(name) is not None


def is_dns_name(name: str) -> bool:
    """Whether DNS takes a name of ours: each label between dots begins and ends with a letter or a digit."""
    return len(name) <= MAX_DNS_NAME and all(is_good_name(label) and label[-1] != "-" for label in name.split("."))


def is_web_or_path(written: str) -> bool:
    """Whether an address can be fetched from: one of `SCHEMES`, or a path."""
    scheme = _SCHEME.match(written)
    return scheme is None or scheme.group(1).lower() in SCHEMES


def is_address(written: str) -> bool:
    """Whether what begins like an address of the web is one: with a host, and a port that can be."""
    scheme = _SCHEME.match(written)
    if scheme is None or scheme.group(1).lower() not in ("http", "https") or "$" in written:
        return True
    try:
        parts = urlsplit(written)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def file_of(url: str) -> str | None:
    """Return the path that a `file:` address names; None for other addresses."""
    if not url.lower().startswith("file://"):
        return None
    try:
        return unquote(urlsplit(url).path)
    except ValueError:  # such as half of an IPv6 address
        return None


def expand_path(written: str, variables: Mapping[str, str], base: str) -> str:
    """Return the absolute path that the init file means: `$NAME`, `${NAME}` and a leading `~` expanded, relative to `base`.

    Raises:
        UnsetVariable: a variable has no value.
    """

    text = written
    if text == "~" or text.startswith("~/"):
        text = "$HOME" + text[1:]
    return normpath(join(base, _with_values(text, variables)))


def expand_url(written: str, variables: Mapping[str, str], base: str) -> str:
    """Return the address that the init file means; a path becomes a `file:` address.

    Raises:
        UnsetVariable: a variable has no value.
    """
    if _SCHEME.match(written):
        return _with_values(written, variables)
    text = _with_values(written, variables)
    return text if _SCHEME.match(text) else "file://" + quote(expand_path(written, variables, base))


def _with_values(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name not in variables:
            raise UnsetVariable(name)
        return variables[name]

    return _VARIABLE.sub(value, text)
