"""Images that machines name by URL."""

from __future__ import annotations

import hashlib
import lzma
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from engine.context import TaskContext
from engine.errors import HashMismatch, TemplateError
from engine.images.archives import bring, forget
from engine.images.fetching import checksums, fetch, local_path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server of what is in `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join(60)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "image"


@pytest.mark.parametrize(
    ("url", "path"),
    [("file:///a/b%20c", "/a/b c"), ("file://localhost/a", "/a"), ("FILE:///a", "/a"), ("/a b", "/a b"), ("http://h/a", None)],
)
def test_urls_of_this_machine_are_paths(url: str, path: str | None) -> None:
    assert local_path(url) == (Path(path) if path else None)


@pytest.mark.parametrize("url", ["file://host/a", "file:a", "file:///a%00b", "file://"])
def test_urls_that_name_no_file_of_this_machine_are_refused(url: str) -> None:
    with pytest.raises(TemplateError, match="file:///absolute/path"):
        local_path(url)


def test_a_local_file_is_copied_read_only(ctx: TaskContext, qcow2: Path, out: Path) -> None:
    fetch(ctx, f"file://{quote(str(qcow2))}", out, checksums(sha256_of(qcow2), None))
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (qcow2.read_bytes(), 0o444)


def test_a_file_on_the_web_is_fetched_read_only(ctx: TaskContext, qcow2: Path, out: Path, server: str) -> None:
    fetch(ctx, f"{server}/{qcow2.name}", out, checksums(sha256_of(qcow2), hashlib.sha1(qcow2.read_bytes()).hexdigest()))
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (qcow2.read_bytes(), 0o444)
    assert [path.name for path in out.parent.iterdir()] == ["image"]


def test_a_packed_file_on_the_web_is_unpacked(ctx: TaskContext, qcow2: Path, out: Path, server: str, tmp_path: Path) -> None:
    packed = tmp_path / "x.qcow2.xz"
    packed.write_bytes(lzma.compress(qcow2.read_bytes()))
    fetch(ctx, f"{server}/x.qcow2.xz", out, checksums(sha256_of(packed), None))
    assert out.read_bytes() == qcow2.read_bytes()


@pytest.mark.parametrize("where", ["file", "web"])
def test_other_bytes_than_promised_are_not_kept(ctx: TaskContext, qcow2: Path, out: Path, server: str, where: str) -> None:
    url = f"file://{qcow2}" if where == "file" else f"{server}/{qcow2.name}"
    with pytest.raises(HashMismatch, match=qcow2.name):
        fetch(ctx, url, out, checksums("00" * 32, None))
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///nowhere/x", "{server}/nowhere", "ftp://h/x", "http://"])
def test_what_cannot_be_had_leaves_nothing(ctx: TaskContext, out: Path, server: str, url: str) -> None:
    with pytest.raises(TemplateError):
        fetch(ctx, url.format(server=server), out)
    assert not out.exists()


@pytest.mark.parametrize(("sha256", "sha1"), [("xyz", None), (None, "ab" * 32), ("ab" * 20, None)])
def test_what_is_no_checksum_is_refused(sha256: str | None, sha1: str | None) -> None:
    with pytest.raises(TemplateError):
        checksums(sha256, sha1)


def test_an_archive_is_fetched_once_and_again_after_it_was_forgotten(ctx: TaskContext, tmp_path: Path, server: str) -> None:
    (tmp_path / "a.ova").write_bytes(b"first")
    path = bring(ctx, f"{server}/a.ova")
    (tmp_path / "a.ova").write_bytes(b"second")
    assert bring(ctx, f"{server}/a.ova").read_bytes() == b"first"
    forget(path)
    assert not path.parent.exists()
    assert bring(ctx, f"{server}/a.ova").read_bytes() == b"second"
