"""xz images of this machine become files: by the program where it is installed, by the module where it is not."""

from __future__ import annotations

import hashlib
import lzma
import random
import threading
import zlib
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled
from engine.images.hashes import Checksum, Digests
from engine.images.unpacking import unpack_file, unpacking
from engine.images.xz import NotPacked, NotXz

MIB = 1024 * 1024
DATA = random.Random(2).randbytes(400_100)
IMAGE = DATA + bytes(3 * MIB) + DATA[:5000] + bytes(MIB)
PACKED = lzma.compress(IMAGE, preset=0)


@pytest.fixture(params=["program", "module"])
def _unpacked_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if request.param == "module":
        monkeypatch.setenv("PATH", str(tmp_path))


pytestmark = pytest.mark.usefixtures("_unpacked_by")


def unpack(ctx: TaskContext, tmp_path: Path, packed: bytes) -> Path:
    """Unpack into a file, with the sha256 of both sides compared."""
    source, out = tmp_path / "image.xz", tmp_path / "image"
    source.write_bytes(packed)
    of_packed, of_image = Digests({"sha256"}), Digests({"sha1", "sha512"})
    unpack_file(ctx, source, out, of_packed, of_image)
    of_packed.verify([Checksum("sha256", hashlib.sha256(packed).hexdigest())], "packed")
    of_image.verify([Checksum("sha512", hashlib.sha512(out.read_bytes()).hexdigest())], "image")
    return out


IMAGES = {"nothing": b"", "a byte": b"x", "zeros": bytes(100), "mixed": IMAGE, "odd": IMAGE[1:], "zeros first": bytes(MIB) + b"x"}


@pytest.mark.parametrize("what", IMAGES)
def test_an_image_comes_out_as_it_was(ctx: TaskContext, tmp_path: Path, what: str) -> None:
    assert unpack(ctx, tmp_path, lzma.compress(IMAGES[what], preset=0)).read_bytes() == IMAGES[what]


def test_streams_in_a_row_are_one_image(ctx: TaskContext, tmp_path: Path) -> None:
    packed = lzma.compress(IMAGE[:MIB], preset=0) + bytes(8) + lzma.compress(IMAGE[MIB:], preset=0)
    assert unpack(ctx, tmp_path, packed).read_bytes() == IMAGE


def test_zeros_become_holes(ctx: TaskContext, tmp_path: Path) -> None:
    about = unpack(ctx, tmp_path, lzma.compress(bytes(16 * MIB) + DATA, preset=0)).stat()
    assert (about.st_size, about.st_blocks * 512 < 2 * MIB) == (16 * MIB + len(DATA), True)


def test_options_of_the_environment_do_not_count(ctx: TaskContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XZ_OPT", "--test --memlimit-decompress=1")
    assert unpack(ctx, tmp_path, PACKED).read_bytes() == IMAGE


DAMAGED: dict[str, tuple[bytes, type[NotPacked]]] = {
    "nothing": (b"", NotPacked),
    "too short": (b"\xfd7z", NotPacked),
    "a page": (b"<html>", NotXz),
    "cut at its end": (PACKED[:-100], NotPacked),
    "cut at its beginning": (PACKED[:1000], NotPacked),
    "rubbish": (b"\xfd7zXZ\0" + b"rubbish" * 100_000, NotPacked),
    "more behind": (PACKED + b"more", NotPacked),
    "lzma": (lzma.compress(IMAGE, lzma.FORMAT_ALONE), NotXz),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_told_and_leaves_nothing(ctx: TaskContext, tmp_path: Path, what: str) -> None:
    packed, kind = DAMAGED[what]
    with pytest.raises(kind, match=r"image.xz' (is no xz data|ends in the middle)"):
        unpack(ctx, tmp_path, packed)
    assert not (tmp_path / "image").exists()


def test_what_wants_too_much_memory_is_told(ctx: TaskContext, tmp_path: Path) -> None:
    greedy = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}]))
    assert greedy[12:17] == b"\x02\x00\x21\x01\x00"  # size of the block's header, no flags, LZMA2, its one property: the dictionary
    greedy[16] = 39  # 3 GiB
    greedy[20:24] = zlib.crc32(greedy[12:20]).to_bytes(4, "little")
    with pytest.raises(NotPacked, match=r"image.xz' is no xz data that can be unpacked: .*[Mm]emory"):
        unpack(ctx, tmp_path, bytes(greedy))


def test_what_grows_beyond_its_limit_is_stopped(ctx: TaskContext, tmp_path: Path) -> None:
    bomb = lzma.compress(bytes(16 * MIB), preset=0)
    out = (tmp_path / "image").open("wb")
    grown = pytest.raises(NotPacked, match="unpacks to more than 1048576 bytes")
    with out, grown, unpacking(ctx, out.fileno(), Digests({"sha1"}), MIB, "'bomb'") as unpacks:
        unpacks.feed(bomb)
        unpacks.finish()
    assert (tmp_path / "image").stat().st_size <= MIB


def test_a_cancel_ends_it(ctx: TaskContext, tmp_path: Path, token: CancelToken) -> None:
    token.cancel()
    with pytest.raises(Cancelled):
        unpack(ctx, tmp_path, PACKED)
    assert not (tmp_path / "image").exists()


def test_no_thread_is_left(ctx: TaskContext, tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(NotPacked):
        unpack(ctx, tmp_path, PACKED[:-100])
    unpack(ctx, tmp_path, PACKED)
    assert threading.active_count() == before
