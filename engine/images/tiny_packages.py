"""Debian packages for the tiny template: which ones, downloaded by apt as any user, unpacked without installing them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, TemplateBuildFailed
from ..process import run

PROGRAMS = ("busybox-static", "bash", "dropbear-bin", "openssh-sftp-server", "openssh-client", "qemu-guest-agent")
"""What the guest is made of; the shared libraries they depend on come along."""

KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Names of the package that depends on the newest kernel for virtual machines: Debian's, Ubuntu's."""

ARCHITECTURE = "amd64"

QUERY_TIMEOUT_S = 60.0
DOWNLOAD_TIMEOUT_S = 900.0
UNPACK_TIMEOUT_S = 120.0

_UPDATE_HINT = "sudo apt-get update, then run the same command again"


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    architecture: str
    section: str
    size_bytes: int
    depends: tuple[tuple[str, ...], ...]
    """Groups of alternatives, names only."""

    @property
    def file_name(self) -> str:
        """As apt-get download calls it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def fetch_packages(ctx: TaskContext, tools: Mapping[str, str], cache: Path, programs: Sequence[str] = PROGRAMS) -> list[Path]:
    """Return the package files of a guest: of its programs and of a kernel, downloading those that `cache` does not have yet.

    Raises:
        TemplateBuildFailed: apt does not know a package, or cannot download it.
    """
    packages = resolve(ctx, tools, programs)
    cache.mkdir(parents=True, exist_ok=True)
    absent = [package for package in packages if not _in_cache(package, cache)]
    if absent:
        size_mib = sum(package.size_bytes for package in absent) / 2**20
        ctx.log(f"downloading {len(absent)} packages, {size_mib:.0f} MiB")
        _download(ctx, tools, absent, cache)
    return [cache / package.file_name for package in packages]


def unpack(ctx: TaskContext, tools: Mapping[str, str], files: Iterable[Path], tree: Path) -> None:
    """Unpack package files over each other into `tree`."""
    tree.mkdir(parents=True, exist_ok=True)
    for file in files:
        run(ctx, [tools["dpkg-deb"], "-x", file, tree], timeout_s=UNPACK_TIMEOUT_S)


def resolve(ctx: TaskContext, tools: Mapping[str, str], programs: Sequence[str] = PROGRAMS) -> list[Package]:
    """Return the guest's programs, its kernel, and the libraries that they depend on."""
    kernels = [package for package in _show(ctx, tools, KERNELS).values() if package.architecture == ARCHITECTURE]
    images = [name for kernel in kernels for group in kernel.depends for name in group if name.startswith("linux-image-")]
    if not images:
        raise TemplateBuildFailed(f"apt knows no kernel for virtual machines: no '{KERNELS[0]}'", hint=_UPDATE_HINT)
    roots = (*programs, images[0])
    known = _show(ctx, tools, roots)
    for name in roots:
        if name not in known:
            raise TemplateBuildFailed(f"apt does not know the package '{name}'", hint=_UPDATE_HINT)
    return _with_libraries(ctx, tools, {name: known[name] for name in roots})


def _with_libraries(ctx: TaskContext, tools: Mapping[str, str], roots: dict[str, Package]) -> list[Package]:
    chosen, asked, latest = dict(roots), set(roots), list(roots.values())
    while latest:
        groups = [group for package in latest for group in package.depends]
        names = {name for group in groups for name in group} - asked
        asked |= names
        shown = _show(ctx, tools, sorted(names)) if names else {}
        latest = []
        for group in groups:
            package = next((shown[name] for name in group if name in shown), None)
            if package is not None and _goes_along(package) and package.name not in chosen:
                chosen[package.name] = package
                latest.append(package)
    return list(chosen.values())


def _goes_along(package: Package) -> bool:
    """Whether a dependency is files for the guest: a library, or the modules that belong to a kernel; not an installer's helper."""
    return package.section.rpartition("/")[2] == "libs" or package.name.startswith("linux-modules-")


def _show(ctx: TaskContext, tools: Mapping[str, str], names: Iterable[str]) -> dict[str, Package]:
    argv = [tools["apt-cache"], "show", "--no-all-versions", *names]
    return parse_packages(run(ctx, argv, timeout_s=QUERY_TIMEOUT_S, check=False).text)


def parse_packages(text: str) -> dict[str, Package]:
    """Read what `apt-cache show` prints; of a name that comes twice the first counts."""
    packages: dict[str, Package] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Za-z0-9-]+: ", line))
        if {"Package", "Version", "Architecture"} <= fields.keys():
            depends = _parse_depends(fields.get("Pre-Depends", "")) + _parse_depends(fields.get("Depends", ""))
            package = Package(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                section=fields.get("Section", ""),
                size_bytes=int(fields.get("Size", "0")),
                depends=depends,
            )
            packages.setdefault(package.name, package)
    return packages


def _parse_depends(text: str) -> tuple[tuple[str, ...], ...]:
    groups = (group.split("|") for group in text.split(",") if group.strip())
    return tuple(tuple(re.split(r"[\s(:]", name.strip(), maxsplit=1)[0] for name in group) for group in groups)


def _in_cache(package: Package, cache: Path) -> bool:
    file = cache / package.file_name
    return file.is_file() and file.stat().st_size == package.size_bytes


def _download(ctx: TaskContext, tools: Mapping[str, str], packages: list[Package], cache: Path) -> None:
    wanted = [f"{package.name}={package.version}" for package in packages]
    as_this_user = ["-o", "APT::Sandbox::User=root"]
    try:
        run(ctx, [tools["apt-get"], "-qq", *as_this_user, "download", *wanted], timeout_s=DOWNLOAD_TIMEOUT_S, cwd=cache)
    except CommandFailed as failed:
        raise TemplateBuildFailed(f"apt cannot download the packages of the tiny template: {failed.message}", hint=_UPDATE_HINT) from failed
    lost = [package.name for package in packages if not (cache / package.file_name).is_file()]
    if lost:
        raise TemplateBuildFailed(f"apt downloaded other files than it announced for {', '.join(lost)}", hint=_UPDATE_HINT)
