"""The programs that the tiny template is built with: found before anything is done, so that what is missing is named at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import TemplateBuildFailed

PACKAGE_OF = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "syslinux": "syslinux",
    "mformat": "mtools",
    "mcopy": "mtools",
    "qemu-img": "qemu-utils",
}
"""Program → the Debian package that brings it."""

_MBR_CODE = ("/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin", "/usr/share/syslinux/mbr.bin")

_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where mke2fs lives; an ordinary user's PATH leaves these out."""


def find_tools(search: str | None = None) -> dict[str, str]:
    """Return the absolute path of every program in PACKAGE_OF, and of `mbr.bin`, the boot code of a disk.

    Args:
        search: folders to look in, as in PATH; None means PATH and the system's own folders.

    Raises:
        TemplateBuildFailed: some are missing; the hint installs them.
    """
    if search is None:
        search = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_PATHS))
    found = {name: shutil.which(name, path=search) for name in PACKAGE_OF}
    found["mbr.bin"] = next((path for path in _MBR_CODE if Path(path).is_file()), None)
    tools = {name: path for name, path in found.items() if path is not None}
    missing = [name for name in found if name not in tools]
    if missing:
        raise _missing(missing, {**PACKAGE_OF, "mbr.bin": "syslinux-common"})
    return tools


def _missing(names: list[str], package_of: Mapping[str, str]) -> TemplateBuildFailed:
    words = ", ".join(f"'{name}'" for name in names)
    if "apt-get" in names:
        return TemplateBuildFailed(
            f"the tiny template is made from Debian packages, and this machine lacks {words}",
            hint="build it on a Debian or Ubuntu machine, and add the image to a template repository",
        )
    packages = " ".join(dict.fromkeys(package_of[name] for name in names))
    verb = "is" if len(names) == 1 else "are"
    return TemplateBuildFailed(f"the tiny template cannot be built: {words} {verb} not installed", hint=f"sudo apt-get install {packages}")
