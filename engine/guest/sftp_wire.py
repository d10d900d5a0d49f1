"""Packets of the SFTP protocol, version 3: what a client asks, and what it is answered. Names are bytes: a guest's may be no text.

(draft-ietf-secsh-filexfer-02, and the file PROTOCOL of OpenSSH)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """Types of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200


OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED = 0, 1, 2, 3
_WORDS = {NO_SUCH_FILE: "no such file or folder", PERMISSION_DENIED: "permission denied", 8: "the server cannot do that"}

POSIX_RENAME = b"posix-rename@openssh.com"
"""The extension that renames over what is there."""
LIMITS = b"limits@openssh.com"
"""The extension that tells how long reads and writes may be; who has it takes long ones."""
READ, WRITE, CREATE, TRUNCATE = 0x01, 0x02, 0x08, 0x10
_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000


class Refused(Exception):
    """The server said no to one request; it never leaves `engine.guest`."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class About:
    """Of a file, as far as the server says."""

    size: int = 0
    mode: int = 0
    """With its type; 0 when it is not known."""
    atime: int = 0
    mtime: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    kind: int
    body: bytes

    def require_ok(self) -> None:
        """Raises: Refused: it is no good news."""
        if self.kind != Kind.STATUS or number_at(self.body, 0) != OK:
            raise self.refusal()

    def refusal(self) -> Refused:
        if self.kind != Kind.STATUS:
            return Refused(-1, f"the server gave an answer of type {self.kind}, which does not belong to the question")
        code = number_at(self.body, 0)
        said = _text(self.body, 4)[0].decode(errors="replace") if len(self.body) >= 8 else ""
        return Refused(code, _WORDS.get(code) or said or f"code {code}")

    @property
    def is_eof(self) -> bool:
        return self.kind == Kind.STATUS and number_at(self.body, 0) == EOF

    def text(self, kind: Kind) -> bytes:
        """Return the handle, the data or the first name that it carries.

        Raises:
            Refused: it is another kind of reply.
        """
        if self.kind != kind:
            raise self.refusal()
        return _text(self.body, 4 if kind is Kind.NAME else 0)[0]

    def about(self) -> About:
        if self.kind != Kind.ATTRS:
            raise self.refusal()
        return _about(self.body, 0)[0]

    def entries(self) -> list[tuple[bytes, About]]:
        """Return names in a folder, and what they are."""
        if self.kind != Kind.NAME:
            raise self.refusal()
        entries, at = [], 4
        for _ in range(number_at(self.body, 0)):
            name, at = _text(self.body, at)
            _, at = _text(self.body, at)  # as `ls -l` would show it
            about, at = _about(self.body, at)
            entries.append((name, about))
        return entries


def open_file(path: bytes, flags: int, mode: int = 0o600) -> Request:
    attributes = struct.pack(">II", _MODE, mode) if flags & CREATE else struct.pack(">I", 0)
    return Request(Kind.OPEN, _packed(path) + struct.pack(">I", flags) + attributes)


def close(handle: bytes) -> Request:
    return Request(Kind.CLOSE, _packed(handle))


def read(handle: bytes, offset: int, length: int) -> Request:
    return Request(Kind.READ, _packed(handle) + struct.pack(">QI", offset, length))


def write(handle: bytes, offset: int, data: bytes) -> Request:
    return Request(Kind.WRITE, _packed(handle) + struct.pack(">Q", offset) + _packed(data))


def set_open(handle: bytes, mode: int, atime: int, mtime: int) -> Request:
    """Set mode and times of an open file."""
    return Request(Kind.FSETSTAT, _packed(handle) + _mode_and_times(mode, atime, mtime))


def set_path(path: bytes, mode: int, atime: int, mtime: int) -> Request:
    """Set mode and times."""
    return Request(Kind.SETSTAT, _packed(path) + _mode_and_times(mode, atime, mtime))


def make_folder(path: bytes, mode: int) -> Request:
    return Request(Kind.MKDIR, _packed(path) + struct.pack(">II", _MODE, mode))


def make_link(path: bytes, target: bytes) -> Request:
    """Make a symbolic link; its words are in the order of OpenSSH's server, which all others follow."""
    return Request(Kind.SYMLINK, _packed(target) + _packed(path))


def of_path(kind: Kind, path: bytes) -> Request:
    """Return a request that has a path, or a handle, and nothing else: LSTAT, STAT, OPENDIR, READDIR, REMOVE, REALPATH, READLINK."""
    return Request(kind, _packed(path))


def rename(old: bytes, new: bytes) -> Request:
    """Rename where nothing of the new name is there."""
    return Request(Kind.RENAME, _packed(old) + _packed(new))


def replace(old: bytes, new: bytes) -> Request:
    """Rename over what has the new name; for servers with `can_replace`."""
    return Request(Kind.EXTENDED, _packed(POSIX_RENAME) + _packed(old) + _packed(new))


def _packed(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _mode_and_times(mode: int, atime: int, mtime: int) -> bytes:
    return struct.pack(">IIII", _MODE | _TIMES, mode, *(min(max(seconds, 0), 2**32 - 1) for seconds in (atime, mtime)))


def number_at(data: bytes | bytearray, at: int) -> int:
    number: int = struct.unpack_from(">I", data, at)[0]
    return number


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + number_at(data, at)
    if end > len(data):
        raise struct.error("a text is longer than its packet")
    return data[at + 4 : end], end


def _about(data: bytes, at: int) -> tuple[About, int]:
    flags, at = number_at(data, at), at + 4
    size = mode = atime = mtime = 0
    if flags & _SIZE:
        size, at = struct.unpack_from(">Q", data, at)[0], at + 8
    if flags & _OWNER:
        at += 8
    if flags & _MODE:
        mode, at = number_at(data, at), at + 4
    if flags & _TIMES:
        (atime, mtime), at = struct.unpack_from(">II", data, at), at + 8
    if flags & _EXTENDED:
        count, at = number_at(data, at), at + 4
        for _ in range(2 * count):
            _, at = _text(data, at)
    return About(size, mode, atime, mtime), at
