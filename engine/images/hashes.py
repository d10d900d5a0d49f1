"""Checksums of images: what a sidecar or a list of checksums promises, and what the bytes say."""

from __future__ import annotations

import hashlib
import re
import shlex
import string
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import HashMismatch, TemplateError
from .texts import read_small

ALGORITHM_BY_LENGTH = {40: "sha1", 64: "sha256", 128: "sha512"}
"""Hex digits → algorithm. A `.hash` sidecar does not name its algorithm: the predecessor's is sha1."""

SIDECARS = (".sha256", ".hash")
"""Looked for next to an image; every one that is there must match."""

PIECES_AHEAD = 4
"""Pieces that may wait for a digest while the next ones are read and written."""

_BSD_LINE = re.compile(r"(?:SHA1|SHA(?:2-)?(?:256|512))\s*\((?P<name>[^()]+)\)\s*=\s*(?P<digest>[0-9A-Fa-f]+)\s*")
_GNU_LINE = re.compile(r"(?P<digest>[0-9A-Fa-f]{40,})\s+\*?(?P<name>\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: str
    """Hex digits, lower case."""

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Read the content of a sidecar: hex digits alone, or followed by a file name as sha256sum prints them.

        Raises:
            TemplateError: there is no such checksum in it.
        """
        words = text.split()
        found = cls.of(words[0]) if words else None
        if found is None:
            raise TemplateError(
                f"'{place}' holds no sha1, sha256 or sha512 checksum", hint="write it again with: sha256sum IMAGE > IMAGE.sha256"
            )
        return found

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read hex digits, with or without `sha256:` before them; None when they are no checksum."""
        named, _, digits = text.strip().rpartition(":")
        digest = digits.lower()
        algorithm = ALGORITHM_BY_LENGTH.get(len(digest))
        if algorithm is None or not set(digest) <= set(string.hexdigits) or named not in ("", algorithm):
            return None
        return cls(algorithm, digest)


def listed(text: str, names: Sequence[str], place: str) -> dict[str, Checksum]:
    """Read a list of checksums, as sha256sum and its BSD twin write them, signed or not.

    Args:
        text: of the list.
        names: files that are looked for.
        place: of the list, for messages.

    Returns:
        File → checksum, of those that are listed. When the list names one file only, it is meant for the first of `names`
        whatever it is called there: links such as `latest` are listed under the name of what they point to.

    Raises:
        TemplateError: none of the files is listed.
    """
    found: dict[str, Checksum] = {}
    for line in text.splitlines():
        match = _BSD_LINE.fullmatch(line.strip()) or _GNU_LINE.fullmatch(line.strip())
        checksum = Checksum.of(match["digest"]) if match else None
        if match and checksum is not None:
            found[match["name"].removeprefix("./")] = checksum
    if len(found) == 1 and not found.keys() & set(names):
        return {names[0]: next(iter(found.values()))}
    wanted = {name: found[name] for name in names if name in found}
    if not wanted:
        raise TemplateError(f"'{place}' lists no sha1, sha256 or sha512 checksum of '{names[0]}'")
    return wanted


class Digests:
    """Runs over the bytes of an image once, with every algorithm that is asked for."""

    def __init__(self, algorithms: set[str]) -> None:
        self._running = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(algorithms)}

    def lanes(self) -> tuple[Callable[[bytes], object], ...]:
        """Return what takes the bytes for each algorithm; they may run side by side."""
        return tuple(digest.update for digest in self._running.values())

    def result(self, algorithm: str) -> str:
        return self._running[algorithm].hexdigest()

    def verify(self, expected: Sequence[Checksum], what: str) -> None:
        """Raises: HashMismatch: the bytes are others than promised."""
        for checksum in expected:
            found = self.result(checksum.algorithm)
            if found != checksum.digest:
                raise HashMismatch(f"{what}: {checksum.algorithm} is {found}, but {checksum.digest} was promised")


class Beside:
    """Hands pieces to functions, each on a thread of its own and in order, so that the caller can go on reading and writing."""

    def __init__(self, *takes: Callable[[bytes], object]) -> None:
        self._lanes = tuple((take, ThreadPoolExecutor(1, "beside")) for take in takes)
        self._waiting: deque[tuple[Future[object], ...]] = deque()

    def put(self, piece: bytes) -> None:
        """Hand a piece over; waits while too many are ahead, and raises what a function raised on an earlier one."""
        if len(self._waiting) >= PIECES_AHEAD:
            self._await_first()
        self._waiting.append(tuple(thread.submit(take, piece) for take, thread in self._lanes))

    def _await_first(self) -> None:
        for future in self._waiting.popleft():
            future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        try:
            while kind is None and self._waiting:
                self._await_first()
        finally:
            for _, thread in self._lanes:
                thread.shutdown(cancel_futures=True)


def promised(image: Path) -> tuple[Checksum, ...]:
    """Read the checksum sidecars next to `image`.

    Raises:
        TemplateError: there is none, or one cannot be used.
    """
    found = []
    for suffix in SIDECARS:
        sidecar = image.with_name(image.name + suffix)
        try:
            text = read_small(sidecar)
        except FileNotFoundError:
            continue
        found.append(Checksum.parse(text, str(sidecar)))
    if not found:
        raise TemplateError(
            f"image '{image}' has no checksum beside it ('{image.name}.hash' or '{image.name}.sha256')",
            hint=f"when you trust the image: {_sha256_command(image)}",
        )
    return tuple(found)


def _sha256_command(image: Path) -> str:
    return f"sha256sum {shlex.quote(str(image))} > {shlex.quote(str(image) + '.sha256')}"
