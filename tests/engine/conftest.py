"""What the engine's tests share: folders of their own, a template, a host in memory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.providers.fake import FakeHost
from tests.engine.bench import Bench, make_bench


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's is read or written."""
    for name in ("STATE", "DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "xdg" / name.lower()))
    for name in ("LAGO_PREFIX_PATH", "LAGO_WORKDIR_PATH", "LAGO_INITFILE_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def template_repo(tmp_path: Path) -> Path:
    """A repository with one template `small`: an empty qcow2 that claims to speak cloud-init."""
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", root / "small.qcow2", "16M"], check=True)
    digest = subprocess.run(["sha1sum", root / "small.qcow2"], check=True, capture_output=True, text=True).stdout.split()[0]
    (root / "small.qcow2.hash").write_text(digest)
    (root / "small.qcow2.metadata").write_text(json.dumps({"distro": "debian", "cloud-init": True}))
    repo = {
        "name": "here",
        "sources": {"disk": {"type": "file", "args": {"root": str(root)}}},
        "templates": {"small": {"versions": {"v1": {"source": "disk", "handle": "small.qcow2", "timestamp": "1"}}}},
    }
    (root / "repo.json").write_text(json.dumps(repo))
    return root


@pytest.fixture
def bench(tmp_path: Path, template_repo: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path, FakeHost())
    yield made
    made.engine.close()


@pytest.fixture
def bench_on(tmp_path: Path, template_repo: Path) -> Iterator[Callable[[FakeHost], Bench]]:
    """Make a bench on a host of the test's own."""
    made: list[Bench] = []

    def make(host: FakeHost) -> Bench:
        made.append(make_bench(tmp_path, host))
        return made[-1]

    yield make
    for each in made:
        each.engine.close()
