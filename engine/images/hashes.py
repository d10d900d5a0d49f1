"""Checksums of images: what a sidecar promises, and what the bytes say."""

from __future__ import annotations

import hashlib
import shlex
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import HashMismatch, TemplateError

ALGORITHM_BY_LENGTH = {40: "sha1", 64: "sha256"}
"""Hex digits → algorithm. A `.hash` sidecar does not name its algorithm: the predecessor's is sha1."""

SIDECARS = (".sha256", ".hash")
"""Looked for next to an image; every one that is there must match."""


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
        digest = words[0].lower() if words else ""
        algorithm = ALGORITHM_BY_LENGTH.get(len(digest))
        if algorithm is None or not set(digest) <= set(string.hexdigits):
            raise TemplateError(f"'{place}' holds no sha1 or sha256 checksum", hint="write it again with: sha256sum IMAGE > IMAGE.sha256")
        return cls(algorithm, digest)


class Digests:
    """Runs over the bytes of an image once, with every algorithm that is asked for."""

    def __init__(self, algorithms: set[str]) -> None:
        self._running = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(algorithms)}

    def update(self, data: bytes | memoryview) -> None:
        for digest in self._running.values():
            digest.update(data)

    def result(self, algorithm: str) -> str:
        return self._running[algorithm].hexdigest()

    def verify(self, expected: tuple[Checksum, ...], what: str) -> None:
        """Raises: HashMismatch: the bytes are others than promised."""
        for checksum in expected:
            found = self.result(checksum.algorithm)
            if found != checksum.digest:
                raise HashMismatch(f"{what}: {checksum.algorithm} is {found}, but {checksum.digest} was promised")


def promised(image: Path) -> tuple[Checksum, ...]:
    """Read the checksum sidecars next to `image`.

    Raises:
        TemplateError: there is none, or one cannot be used.
    """
    found = []
    for suffix in SIDECARS:
        sidecar = image.with_name(image.name + suffix)
        try:
            text = sidecar.read_text(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise TemplateError(f"'{sidecar}' cannot be read: {error.strerror}") from error
        found.append(Checksum.parse(text, str(sidecar)))
    if not found:
        raise TemplateError(
            f"image '{image}' has no checksum beside it ('{image.name}.hash' or '{image.name}.sha256')",
            hint=f"when you trust the image: {_sha256_command(image)}",
        )
    return tuple(found)


def _sha256_command(image: Path) -> str:
    return f"sha256sum {shlex.quote(str(image))} > {shlex.quote(str(image) + '.sha256')}"
