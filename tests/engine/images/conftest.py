"""Tasks, small images, and a repository of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from tests.engine.images.fake_guestfs import FakeGuestfs
from tests.engine.images.web_server import Served, serving

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


@pytest.fixture
def ctx(token: CancelToken) -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r", token=token) as context:
        yield context


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A web server, and an environment that knows of no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving() as served:
        yield served


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    """A qcow2 image of 8 MiB that stands alone."""
    path = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True, timeout=30)
    return path


@pytest.fixture
def sparse_image(tmp_path: Path) -> Path:
    """A raw image of 16 MiB: some data, a hole, some data, a hole at its end."""
    path = tmp_path / "sparse.raw"
    with path.open("wb") as image:
        image.write(b"begin" * 20_000)
        image.seek(9 * MIB + 123)
        image.write(b"end" * 20_000)
        image.truncate(16 * MIB)
    return path


@pytest.fixture
def add_template(tmp_path: Path) -> Callable[..., Path]:
    """Put an image with its sidecars under `<tmp>/source`, name it in `<tmp>/repo.json`, and return the path of that file."""
    repository: dict[str, Any] = {
        "name": "here",
        "sources": {"local": {"type": "file", "args": {"root": str(tmp_path / "source")}}},
        "templates": {},
    }

    def add(name: str, image: bytes, version: str = "1", timestamp: Any = 1, sha1: str | None = None, metadata: Any = None) -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        handle = f"{name}-{version}.img"
        (folder / handle).write_bytes(image)
        (folder / f"{handle}.hash").write_text(f"{sha1 or hashlib.sha1(image).hexdigest()}\n")
        (folder / f"{handle}.metadata").write_text(json.dumps({"distro": "el7"} if metadata is None else metadata))
        versions = repository["templates"].setdefault(name, {"versions": {}})["versions"]
        versions[version] = {"source": "local", "handle": handle, "timestamp": timestamp}
        path = tmp_path / "repo.json"
        path.write_text(json.dumps(repository, indent=4))
        return path

    return add


@pytest.fixture
def run_on_small_disk(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a folder with very little room: a tmpfs in a mount namespace of its own, of which nothing is seen outside."""
    folder = tmp_path / "small"
    folder.mkdir()

    def run(code: str, *arguments: str | Path, size: str = "1m") -> subprocess.CompletedProcess[str]:
        user = [] if os.getuid() == 0 else ["--map-root-user"]
        mount_and_run = 'mount -t tmpfs -o size="$1" none "$0" && cd "$0" && shift && exec "$@"'
        shell = ["unshare", "--mount", *user, "sh", "-c", mount_and_run, folder, size]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        argv = [*shell, sys.executable, "-c", code, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)

    return run


@pytest.fixture
def guestfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGuestfs:
    """Stand-ins for libguestfs's programs, and a kernel for the appliance."""
    fake = FakeGuestfs(tmp_path / "guestfs")
    fake.folder.mkdir()
    fake.install("guestfish", "virt-sysprep", "virt-customize")
    monkeypatch.setenv("PATH", f"{fake.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SUPERMIN_KERNEL", "/boot/vmlinuz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake
