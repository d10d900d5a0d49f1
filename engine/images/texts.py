"""Small text files beside images: repositories and sidecars. What is no such file is not read: a device or a pipe would never end."""

from __future__ import annotations

import stat
from pathlib import Path

from ..errors import TemplateError

MAX_TEXT_BYTES = 4 * 1024 * 1024
"""Of repositories, sidecars and lists of checksums."""


def read_small(path: Path) -> str:
    """Return what is in a file.

    Raises:
        FileNotFoundError: it is not there.
        TemplateError: it cannot be read, is no file, too long, or no text.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise TemplateError(f"'{path}' cannot be read: it is {'a folder' if stat.S_ISDIR(about.st_mode) else 'no file'}")
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TemplateError(f"'{path}' cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_TEXT_BYTES:
        raise TemplateError(f"'{path}' is longer than {MAX_TEXT_BYTES >> 20} MiB: that is no repository and no checksum")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"'{path}' is not UTF-8 text") from error
