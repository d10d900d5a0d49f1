"""Downloads: from good servers, and from those that are slow, silent, cut off, lie about lengths, or send us elsewhere."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, HashMismatch, TemplateError, TemplateMissing
from engine.events import TaskProgress
from engine.images.hashes import Checksum
from engine.images.repository import TemplateRef
from engine.images.sources import HttpImage
from engine.images.store import Store
from engine.images.web import Limits
from tests.engine.images.web_server import Handler, Served

MIB = 1024 * 1024
PATIENT = Limits(tries=3, pause_s=0.01, image_bytes=8 * MIB)
QUICK = replace(PATIENT, connect_s=0.5, silence_s=0.3, slow_s=0.3, slow_bytes_per_s=10_000)
"""For servers that are too slow: a good one may be so, too, on a busy machine."""
IMAGE = random.Random(1).randbytes(3 * MIB + 512)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fetch(ctx: TaskContext, store: Store, web: Served) -> Callable[..., Path]:
    """Fetch an image of the server into the store."""

    def fetch(path: str = "disk.img", **options: Any) -> Path:
        image = HttpImage(web.url(path), **{"limits": PATIENT, "may_be_packed": False, **options})
        return store.fetch(ctx, TemplateRef("web", "disk", "1", 0.0, image))

    return fetch


def names(store: Store) -> list[str]:
    return sorted(path.name.removeprefix("web:disk:1") for path in store.root.iterdir())


WHOLE = ["", ".hash", ".lock", ".metadata"]
HALF = [".lock", ".part", ".resume"]
NOTHING = [".lock"]


def test_an_image_comes_as_it_is(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    assert (fetch().read_bytes() == IMAGE, names(store)) == (True, WHOLE)


def test_its_sha1_is_kept_beside_it(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    path = fetch()
    assert path.with_name(path.name + ".hash").read_text() == hashlib.sha1(IMAGE).hexdigest()


def test_the_packed_image_is_tried_first(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", b"not this one" * 100)
    web.add("disk.img.xz", lzma.compress(IMAGE))
    del web.files["/disk.img.sha256"]
    assert fetch(may_be_packed=True).read_bytes() == IMAGE


def test_without_a_packed_image_the_plain_one_comes(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    assert fetch(may_be_packed=True).read_bytes() == IMAGE


def test_a_server_with_a_page_for_everything_has_no_packed_image(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.files["/disk.img.xz"] = b"<html>not found</html>"
    assert fetch(may_be_packed=True).read_bytes() == IMAGE


def test_the_predecessors_hash_is_of_the_unpacked_image(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img.xz", lzma.compress(IMAGE), hashed=False)
    web.files["/disk.img.xz.hash"] = hashlib.sha1(IMAGE).hexdigest().encode() + b"\n"
    assert fetch(may_be_packed=True).read_bytes() == IMAGE


def test_several_packed_streams_are_one_image(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img.xz", lzma.compress(IMAGE[:MIB]) + b"\0" * 8 + lzma.compress(IMAGE[MIB:]))
    assert fetch("disk.img.xz").read_bytes() == IMAGE


def test_zeros_of_a_packed_image_become_holes(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img.xz", lzma.compress(bytes(6 * MIB) + IMAGE[:MIB]))
    about = fetch("disk.img.xz").stat()
    assert (about.st_size, about.st_blocks * 512 < 2 * MIB) == (7 * MIB, True)


@pytest.mark.parametrize("size", [None, MIB])
def test_a_packed_image_that_grows_without_end_is_stopped(web: Served, fetch: Callable[..., Path], store: Store, size: int | None) -> None:
    web.add("disk.img.xz", lzma.compress(bytes(64 * MIB)))
    with pytest.raises(TemplateError, match=r"disk.img.xz' unpacks to more than \d+ bytes"):
        fetch("disk.img.xz", extra={"size": size})
    assert names(store) == NOTHING


DAMAGED = {
    "cut off": lzma.compress(IMAGE)[:-100],
    "rubbish": b"\xfd7zXZ\0" + b"rubbish" * 100,
    "no xz": b"no xz at all",
    "more behind": lzma.compress(IMAGE) + b"more",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_packing_keeps_nothing(web: Served, fetch: Callable[..., Path], store: Store, what: str) -> None:
    web.add("disk.img.xz", DAMAGED[what])
    with pytest.raises(TemplateError, match="xz data"):
        fetch("disk.img.xz")
    assert names(store) == NOTHING


def test_a_wrong_checksum_keeps_nothing(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    web.files["/disk.img.sha256"] = b"0" * 64
    with pytest.raises(HashMismatch, match=r"sha256 is .* but 000"):
        fetch()
    assert names(store) == NOTHING


def test_a_wrong_checksum_of_a_packed_image_keeps_nothing(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img.xz", lzma.compress(IMAGE), hashed=False)
    web.files["/disk.img.xz.hash"] = b"1" * 40
    with pytest.raises(HashMismatch):
        fetch("disk.img.xz")
    assert names(store) == NOTHING


def test_an_image_without_a_checksum_is_refused(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE, hashed=False)
    with pytest.raises(TemplateError, match="has no checksum beside it"):
        fetch()
    assert web.ranges("/disk.img") == []


@pytest.mark.parametrize(
    "lines",
    [
        "{digest}  disk.img\n0000  other\n",
        "{digest} *disk.img\n" + "0" * 64 + " *other.img\n",
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.img: 12 bytes\nSHA256 (disk.img) = {digest}\n",
        "SHA256 (disk-20260101.0.img) = {digest}\n",
    ],
)
def test_lists_of_checksums_are_read(web: Served, fetch: Callable[..., Path], lines: str) -> None:
    web.add("disk.img", IMAGE, hashed=False)
    web.files["/SUMS"] = lines.format(digest=hashlib.sha256(IMAGE).hexdigest()).encode()
    assert fetch(checksums_url=web.url("SUMS")).read_bytes() == IMAGE


def test_sha512_counts_too(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE, hashed=False)
    web.files["/SHA512SUMS"] = f"{'0' * 128}  disk.img\n".encode()
    with pytest.raises(HashMismatch, match="sha512"):
        fetch(checksums_url=web.url("SHA512SUMS"))


def test_a_list_without_the_image_is_told(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE, hashed=False)
    web.files["/SUMS"] = f"{'0' * 64}  a\n{'1' * 64}  b\n".encode()
    with pytest.raises(TemplateError, match=r"SUMS' lists no sha1, sha256 or sha512 checksum of 'disk.img'"):
        fetch(checksums_url=web.url("SUMS"))


def test_a_pinned_checksum_needs_no_sidecar(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE, hashed=False)
    assert fetch(pinned=Checksum("sha256", hashlib.sha256(IMAGE).hexdigest())).read_bytes() == IMAGE


def cut_after(count: int, times: int = 1) -> Callable[[Handler], None]:
    """Hang up after some bytes, the first times."""
    left = [times]

    def behave(handler: Handler) -> None:
        if left[0] == 0:
            handler.honest()
            return
        left[0] -= 1
        content = handler.served.files[handler.path]
        handler.begin(len(content), ETag='"v1"')
        handler.wfile.write(content[:count])
        handler.close_connection = True

    return behave


def test_a_cut_in_the_middle_is_gone_on_from(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = cut_after(MIB)
    assert (fetch().read_bytes() == IMAGE, web.ranges("/disk.img")) == (True, ["", f"bytes={MIB}-"])


def test_a_packed_image_is_gone_on_from_too(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img.xz", lzma.compress(IMAGE))
    web.behave["/disk.img.xz"] = cut_after(MIB)
    assert (fetch("disk.img.xz").read_bytes() == IMAGE, web.ranges("/disk.img.xz")[1]) == (True, f"bytes={MIB}-")


def test_a_server_that_always_cuts_is_told_and_what_came_is_kept(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = cut_after(MIB, times=9)
    with pytest.raises(TemplateError, match=r"disk.img' (was cut off after \d+ of \d+ bytes|cannot be fetched)"):
        fetch()
    assert names(store) == HALF


def test_the_next_run_goes_on_where_this_one_stopped(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = cut_after(MIB, times=9)
    with pytest.raises(TemplateError):
        fetch()
    del web.behave["/disk.img"]
    assert (fetch().read_bytes() == IMAGE, web.ranges("/disk.img")[-1]) == (True, f"bytes={MIB}-")


def test_what_came_whole_is_not_fetched_again(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = cut_after(len(IMAGE) - 1, times=9)
    with pytest.raises(TemplateError):
        fetch()
    (store.root / "web:disk:1.part").write_bytes(IMAGE)
    del web.behave["/disk.img"]
    assert fetch().read_bytes() == IMAGE


def test_an_image_that_changed_meanwhile_is_fetched_from_its_beginning(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", b"old" + IMAGE)
    web.behave["/disk.img"] = cut_after(MIB, times=9)
    with pytest.raises(TemplateError):
        fetch()
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = lambda handler: handler.honest(etag='"v2"')
    assert fetch().read_bytes() == IMAGE


def test_a_server_without_ranges_begins_anew(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    cut = cut_after(MIB)

    def behave(handler: Handler) -> None:
        if len(web.ranges("/disk.img")) == 1:
            cut(handler)
            return
        handler.begin(len(IMAGE), ETag='"v1"')
        handler.wfile.write(IMAGE)

    web.behave["/disk.img"] = behave
    assert fetch().read_bytes() == IMAGE


@pytest.mark.parametrize("span", ["bytes 0-99/100", "bytes 1048577-3146239/3146240", "", "nonsense"])
def test_another_part_than_was_asked_for_is_not_taken(web: Served, fetch: Callable[..., Path], store: Store, span: str) -> None:
    web.add("disk.img", IMAGE)
    cut = cut_after(MIB)

    def behave(handler: Handler) -> None:
        if handler.headers.get("Range"):
            handler.begin(10, 206, **{"Content-Range": span, "ETag": '"v1"'})
            handler.wfile.write(b"0123456789")
        elif len(web.ranges("/disk.img")) == 1:
            cut(handler)
        else:
            handler.honest()

    web.behave["/disk.img"] = behave
    assert fetch().read_bytes() == IMAGE


def test_a_length_that_is_too_short_is_a_mismatch(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(1000, Connection="close")
        handler.wfile.write(IMAGE)
        handler.close_connection = True

    web.behave["/disk.img"] = behave
    with pytest.raises(HashMismatch):
        fetch()
    assert names(store) == NOTHING


def test_a_length_that_is_too_long_is_told(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(len(IMAGE) + 5)
        handler.wfile.write(IMAGE)
        handler.close_connection = True

    web.behave["/disk.img"] = behave
    with pytest.raises(TemplateError, match=r"disk.img'.*(cut off|IncompleteRead|broken)"):
        fetch()


def test_a_silent_server_is_told(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = Handler.hang
    with pytest.raises(TemplateError, match=r"disk.img'.*(silent|does not answer)"):
        fetch(limits=QUICK)


def test_a_server_that_goes_silent_in_the_middle_is_told(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(len(IMAGE), ETag='"v1"')
        handler.wfile.write(IMAGE[:1000])
        handler.hang()

    web.behave["/disk.img"] = behave
    with pytest.raises(TemplateError, match=r"disk.img'.*(silent|does not answer)"):
        fetch(limits=QUICK)
    assert names(store) == HALF


def test_a_trickle_is_told(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(len(IMAGE))
        while not handler.served.ending.wait(0.05):
            handler.wfile.write(b"x")

    web.behave["/disk.img"] = behave
    with pytest.raises(TemplateError, match="comes too slowly"):
        fetch(limits=QUICK)


def test_a_sidecar_that_never_ends_is_told(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(None)
        while not handler.served.ending.is_set():
            handler.wfile.write(b"0" * MIB)

    web.behave["/disk.img.sha256"] = behave
    with pytest.raises(TemplateError, match="is longer than 4 MiB"):
        fetch()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(web: Served, fetch: Callable[..., Path], status: int) -> None:
    web.add("disk.img", IMAGE)
    answers = [lambda handler: handler.begin(0, status), Handler.honest]
    web.behave["/disk.img"] = lambda handler: answers.pop(0)(handler)
    assert fetch().read_bytes() == IMAGE


def test_a_missing_image_is_told_with_its_address(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    del web.files["/disk.img"]
    with pytest.raises(TemplateMissing, match=r"http://127.0.0.1:\d+/disk.img': the server answers 404"):
        fetch()
    assert names(store) == NOTHING


def test_redirects_are_followed(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.files["/mirror/disk.img"] = web.files.pop("/disk.img")
    web.behave["/disk.img"] = lambda handler: handler.begin(0, 302, Location="/mirror/disk.img")
    assert fetch().read_bytes() == IMAGE


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/x", "", "gopher://x"])
def test_redirects_to_elsewhere_than_the_web_are_not_followed(web: Served, fetch: Callable[..., Path], target: str) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = lambda handler: handler.begin(0, 302, Location=target)
    with pytest.raises(TemplateError, match=r"redirects to|sends us"):
        fetch()


def test_redirects_in_a_circle_end(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = lambda handler: handler.begin(0, 302, Location="/disk.img")
    with pytest.raises(TemplateError, match="without end"):
        fetch()


def test_nothing_goes_from_https_to_http() -> None:
    from engine.images.web import _redirected

    with pytest.raises(TemplateError, match="redirects from https to plain 'http://"):
        _redirected("https://example.org/a", "http://example.org/a")


def test_a_refused_connection_is_told(ctx: TaskContext, store: Store) -> None:
    with pytest.raises(TemplateError, match=r"127.0.0.1:1/x.sha256' cannot be fetched: Connection refused"):
        store.fetch(ctx, TemplateRef("web", "disk", "1", 0.0, HttpImage("http://127.0.0.1:1/x", limits=PATIENT, may_be_packed=False)))


def test_a_password_in_the_address_is_not_shown(ctx: TaskContext, store: Store) -> None:
    image = HttpImage("http://me:secret@127.0.0.1:1/x", limits=PATIENT)
    with pytest.raises(TemplateError) as caught:
        store.fetch(ctx, TemplateRef("web", "disk", "1", 0.0, image))
    assert "secret" not in str(caught.value)


def test_the_proxy_of_the_environment_is_used(web: Served, fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    content = {path: web.files[path] for path in ("/disk.img", "/disk.img.sha256")} if web.add("disk.img", IMAGE) else {}
    web.files = {f"http://images.test{path}": data for path, data in content.items()}
    monkeypatch.setenv("http_proxy", web.base)
    web.base = "http://images.test/"
    assert fetch().read_bytes() == IMAGE


def test_progress_tells_bytes_and_rate(ctx: TaskContext, web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    events = ctx.bus.subscribe()
    fetch()
    last = [event for event in events.take() if isinstance(event, TaskProgress)][-1]
    assert (last.done, last.total, last.unit, last.note.endswith("MB/s")) == (len(IMAGE), len(IMAGE), "B", True)


@pytest.mark.parametrize("hanging", ["head", "body"])
def test_a_cancel_works_at_once(web: Served, fetch: Callable[..., Path], store: Store, token: CancelToken, hanging: str) -> None:
    web.add("disk.img", IMAGE)
    begun = threading.Event()

    def behave(handler: Handler) -> None:
        if hanging == "body":
            handler.begin(len(IMAGE), ETag='"v1"')
            handler.wfile.write(IMAGE[:1000])
        begun.set()
        handler.hang()

    web.behave["/disk.img"] = behave
    threading.Thread(target=lambda: (begun.wait(60), token.cancel()), daemon=True).start()
    started_s = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(limits=PATIENT)
    assert time.monotonic() - started_s < PATIENT.silence_s / 2


DIE = """
import os, signal, sys, threading
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.images.repository import TemplateRef
from engine.images.sources import HttpImage
from engine.images.store import Store
part = Path(sys.argv[1]) / "web:disk:1.part"
def watch():
    while not (part.exists() and part.stat().st_size > 100):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
with TaskContext.root(Bus(), "test", run_id="r") as ctx:
    image = HttpImage(sys.argv[2], may_be_packed=False)
    Store(Path(sys.argv[1])).fetch(ctx, TemplateRef("web", "disk", "1", 0.0, image))
"""


def test_what_a_killed_run_had_is_gone_on_with(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    url = web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(len(IMAGE), ETag='"v1"')
        handler.wfile.write(IMAGE[:MIB])
        handler.hang()

    web.behave["/disk.img"] = behave
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", DIE, store.root, url], timeout=30, check=False, env=environment)
    del web.behave["/disk.img"]
    assert (fetch().read_bytes() == IMAGE, web.ranges("/disk.img")[-1].startswith("bytes=")) == (True, True)


def test_a_full_disk_is_told(run_on_small_disk: Callable[..., subprocess.CompletedProcess[str]], web: Served) -> None:
    code = """
import sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import EngineError
from engine.images.repository import TemplateRef
from engine.images.sources import HttpImage
from engine.images.store import Store
with TaskContext.root(Bus(), "test", run_id="r") as ctx:
    try:
        Store(Path(".")).fetch(ctx, TemplateRef("web", "disk", "1", 0.0, HttpImage(sys.argv[1], may_be_packed=False)))
    except EngineError as error:
        print(type(error).__name__)
"""
    done = run_on_small_disk(code, web.add("disk.img", IMAGE))
    assert (done.stdout, done.stderr) == ("DiskFull\n", "")
