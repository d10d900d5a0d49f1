"""Templates on their way into the store, against the raw tools: a copy or download, one pass of a checksum, and the disk's word for it."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import REPO, Figure, Place

MIB = 1024 * 1024
IMAGE_MIB = 512
SPARSE_MIB = 2048
"""Of which an eighth is data."""
TIMES = 3


def measure(place: Place) -> list[Figure]:
    folder = place.folder / "templates"
    folder.mkdir()
    images = {"whole": folder / "whole.img", "sparse": folder / "sparse.img"}
    _fill(images["whole"], IMAGE_MIB, IMAGE_MIB)
    _fill(images["sparse"], SPARSE_MIB, SPARSE_MIB // 8)
    repository = folder / "repo"
    for name, image in images.items():
        place.lagotui("--run", "template", "publish", name, str(repository), "--from", str(image))
    subprocess.run(["xz", "-T0", "-0", "--block-size=16MiB", "-k", repository / "sparse-1.img"], check=True)
    here = str(repository / "repo.metadata")
    with _served(folder) as url:
        there = f"{url}repo/repo.metadata"
        packed = [["curl", "-s", "-o", "raw.xz", f"{url}repo/sparse-1.img.xz"], ["xz", "-d", "-T0", "raw.xz"], *_hashed()]
        download = [["curl", "-s", "-o", "raw", f"{url}whole.img"], *_hashed()]
        sparse = f"{SPARSE_MIB} MiB image, {SPARSE_MIB // 8} MiB of it data,"
        return [
            _figure(place, "whole", here, f"{IMAGE_MIB} MiB image from a file", _copy(images["whole"])),
            _figure(place, "sparse", here, f"{sparse} from a file", _copy(images["sparse"])),
            _figure(place, "whole", there, f"{IMAGE_MIB} MiB image from the web", download),
            _figure(place, "sparse", there, f"{sparse} from the web as .xz", packed),
        ]


def _figure(place: Place, name: str, repository: str, what: str, raw: list[list[str]]) -> Figure:
    folder = place.folder / "templates"
    store = folder / "store"

    def ours() -> float:
        shutil.rmtree(store, ignore_errors=True)
        return place.lagotui("--run", "template", "pull", name, "--template-repo-path", repository, "--template-store", str(store))

    def theirs() -> float:
        for left in ("raw", "raw.xz"):
            (folder / left).unlink(missing_ok=True)
        return sum(place.run(*argv, cwd=folder) for argv in raw)

    ours_s, raw_s = _side_by_side(ours, theirs)
    return Figure(what, ours_s, "≤ 1.1 × raw", raw_s)


def _side_by_side(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """Return the medians of runs in turn, so that what else the machine does meanwhile meets both; the first pair warms the caches."""
    pairs = [(ours(), theirs()) for _ in range(TIMES + 1)][1:]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _copy(image: Path) -> list[list[str]]:
    return [["cp", str(image), "raw"], *_hashed()]


def _hashed() -> list[list[str]]:
    return [["sha1sum", "raw"], ["sync", "raw"]]


def _fill(path: Path, size_mib: int, data_mib: int) -> None:
    """Make an image of noise that packs to about half of its size, in runs of 16 MiB with holes between them."""
    noise = random.Random(1)
    runs = data_mib // 16
    with path.open("wb") as image:
        for run in range(runs):
            image.seek(run * (size_mib // runs) * MIB)
            for _ in range(16):
                image.write(noise.randbytes(MIB // 2) + b"text " * (MIB // 10))
        image.truncate(size_mib * MIB)
        os.fsync(image.fileno())


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "tests.benchmarks.file_server", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPO) as server:
        try:
            assert server.stdout is not None, "it is a pipe"
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
