"""What servers do beyond cutting off and going silent: pages for people, rubbish, strange certificates, proxies that are none."""

from __future__ import annotations

import gzip
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.context import TaskContext
from engine.errors import TemplateError, TemplateMissing
from engine.images.repository import TemplateRef, load_repository
from engine.images.sources import FileImage, HttpImage
from engine.images.store import Store
from engine.images.trouble import NotThere, WebTrouble
from engine.images.web import Limits, read_text
from tests.engine.images.web_server import Handler, Served

QUICK = Limits(tries=3, pause_s=0.01)
IMAGE = b"image" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fetch(ctx: TaskContext, store: Store, web: Served) -> Callable[..., Path]:
    """Fetch the image `disk.img` of the server into the store."""

    def fetch(**options: Any) -> Path:
        image = HttpImage(web.url("disk.img"), **{"limits": QUICK, "may_be_packed": False, **options})
        return store.fetch(ctx, TemplateRef("web", "disk", "1", 0.0, image))

    return fetch


def names(store: Store) -> list[str]:
    return sorted(path.suffix for path in store.root.iterdir())


def page(handler: Handler) -> None:
    """Answer with a login page."""
    content = b"<html>Please log in</html>"
    handler.begin(len(content), **{"Content-Type": "text/html; charset=utf-8"})
    handler.wfile.write(content)


def raw(answer: bytes) -> Callable[[Handler], None]:
    """Answer with these bytes and hang up."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return behave


def test_a_page_in_place_of_an_image_is_told(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img"] = page
    with pytest.raises(TemplateMissing, match=r"disk.img': the server answers with a web page"):
        fetch()
    assert names(store) == [".lock"]


def test_a_page_in_place_of_a_packed_image_is_as_none(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img.xz"] = page
    assert fetch(may_be_packed=True).read_bytes() == IMAGE


def test_a_page_in_place_of_a_sidecar_is_as_none(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)
    web.behave["/disk.img.hash"] = web.behave["/disk.img.metadata"] = page
    assert fetch().read_bytes() == IMAGE


def test_a_page_in_place_of_a_repository_is_told(web: Served) -> None:
    web.behave["/repo.json"] = page
    with pytest.raises(TemplateError, match=r"repo.json': the server answers with a web page"):
        load_repository(web.url("repo.json"))


def test_a_repository_that_comes_packed_is_told(web: Served) -> None:
    def behave(handler: Handler) -> None:
        content = gzip.compress(b"{}")
        handler.begin(len(content), **{"Content-Encoding": "gzip"})
        handler.wfile.write(content)

    web.behave["/repo.json"] = behave
    with pytest.raises(TemplateError, match="comes packed as 'gzip'"):
        load_repository(web.url("repo.json"))


def test_a_byte_order_mark_is_no_harm(web: Served) -> None:
    web.files["/repo.json"] = b'\xef\xbb\xbf{"name": "here"}'
    assert load_repository(web.url("repo.json")).name == "here"


RUBBISH = {
    "no http": b"\0\1garbage\r\n\r\n",
    "a long line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many lines": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
}


@pytest.mark.parametrize("what", RUBBISH)
def test_an_answer_that_is_no_http_is_told(ctx: TaskContext, web: Served, what: str) -> None:
    web.behave["/x"] = raw(RUBBISH[what])
    with pytest.raises(WebTrouble, match=r"x' cannot be fetched: the server's answer is no HTTP that can be understood") as caught:
        read_text(ctx, web.url("x"), QUICK)
    assert "\0" not in str(caught.value)


def test_an_answer_in_pieces_without_end_is_told(ctx: TaskContext, web: Served) -> None:
    web.behave["/x"] = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc")
    with pytest.raises(WebTrouble, match=r"x' cannot be fetched: it was cut off after 0 bytes"):
        read_text(ctx, web.url("x"), QUICK)


def test_what_a_server_says_does_not_reach_the_terminal_as_it_is(ctx: TaskContext, web: Served) -> None:
    web.behave["/x"] = raw(b"HTTP/1.1 404 Not\x1b[2JThere\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(NotThere, match=r"404 Not\?\[2JThere"):
        read_text(ctx, web.url("x"), QUICK)


@pytest.mark.parametrize("target", ["http://[::1/x", "http://127.0.0.1:99999/x", "file:///etc/passwd"])
def test_a_redirect_to_no_address_is_told_at_once(ctx: TaskContext, web: Served, target: str) -> None:
    web.behave["/x"] = lambda handler: handler.begin(0, 302, Location=target)
    with pytest.raises(TemplateError, match=r"address|cannot be fetched: Invalid IPv6"):
        read_text(ctx, web.url("x"), QUICK)
    assert len(web.asked) == 1


def test_what_cannot_be_gone_on_with_is_not_kept(web: Served, fetch: Callable[..., Path], store: Store) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        handler.begin(len(IMAGE))  # nothing tells later whether it is the same
        handler.wfile.write(IMAGE[:1000])
        handler.close_connection = True

    web.behave["/disk.img"] = behave
    with pytest.raises(WebTrouble, match="cut off"):
        fetch()
    assert names(store) == [".lock"]


def test_a_server_that_brings_next_to_nothing_each_time_is_given_up(web: Served, fetch: Callable[..., Path]) -> None:
    web.add("disk.img", IMAGE)

    def behave(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.begin(len(IMAGE) - start, 206 if start else 200, ETag='"v1"', **{"Content-Range": f"bytes {start}-499999/500000"})
        handler.wfile.write(IMAGE[start : start + 10])
        handler.close_connection = True

    web.behave["/disk.img"] = behave
    with pytest.raises(WebTrouble, match="cut off"):
        fetch()
    assert len(web.ranges("/disk.img")) == QUICK.tries


def test_after_a_while_there_is_no_further_try(ctx: TaskContext, web: Served) -> None:
    web.behave["/x"] = lambda handler: handler.begin(0, 503)
    with pytest.raises(WebTrouble):
        read_text(ctx, web.url("x"), Limits(tries=1000, pause_s=0.01, give_up_s=0.0))
    assert len(web.asked) == 1


@pytest.mark.parametrize("proxy", ["http://", "ftp://x:99999", "http://[::1"])
def test_a_proxy_that_is_none_is_told_at_once(ctx: TaskContext, web: Served, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(TemplateError, match="cannot be fetched through the proxy") as caught:
        read_text(ctx, web.url("x"), QUICK)
    assert (isinstance(caught.value, WebTrouble), "http_proxy" in caught.value.hint) == (False, True)


def test_a_proxy_that_does_not_answer_is_named_without_its_password(ctx: TaskContext, web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:1")
    with pytest.raises(WebTrouble, match=r"through the proxy 'http://127.0.0.1:1': Connection refused") as caught:
        read_text(ctx, web.url("x"), QUICK)
    assert "secret" not in str(caught.value)


@pytest.fixture
def https(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose certificate nobody has signed."""
    files = {name: str(tmp_path / f"{name}.pem") for name in ("key", "certificate")}
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    making += ["-addext", "subjectAltName=DNS:localhost", "-keyout", files["key"], "-out", files["certificate"]]
    subprocess.run(making, check=True, timeout=60, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"served": Served(files={"/x": b"hello"})}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate"], files["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://localhost:{server.server_port}/x"
    server.shutdown()
    server.server_close()


def test_a_certificate_that_nobody_signed_is_told_at_once(ctx: TaskContext, web: Served, https: str) -> None:
    with pytest.raises(TemplateError, match="certificate is not trusted: self-signed") as caught:
        read_text(ctx, https, QUICK)
    assert (isinstance(caught.value, WebTrouble), "REQUESTS_CA_BUNDLE" in caught.value.hint) == (False, True)


def test_an_authority_of_ones_own_counts(
    ctx: TaskContext, web: Served, https: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    assert read_text(ctx, https, QUICK) == "hello"


def test_https_at_a_server_without_it_is_told(ctx: TaskContext, web: Served) -> None:
    with pytest.raises(TemplateError, match="the server does not speak https there"):
        read_text(ctx, web.url("x").replace("http:", "https:"), QUICK)


@pytest.mark.parametrize(
    ("name", "message"),
    [("a\nb\x1b[31m", "cannot be printed"), ("\ud800", "cannot be printed"), ("a" * 73, "longer than 72 bytes"), ("ä" * 37, "longer")],
)
def test_names_that_would_harm_a_terminal_or_the_store_are_refused(web: Served, name: str, message: str) -> None:
    web.files["/repo.json"] = json.dumps({"name": name}).encode()
    with pytest.raises(TemplateError, match=message) as caught:
        load_repository(web.url("repo.json"))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("handle", ["a\x1b[31m", "a\0", "\ud800"])
def test_handles_that_would_harm_a_terminal_are_refused(web: Served, handle: str) -> None:
    version = {"source": "s", "handle": handle}
    data = {
        "name": "n",
        "sources": {"s": {"type": "http", "args": {"baseurl": web.base}}},
        "templates": {"t": {"versions": {"1": version}}},
    }
    web.files["/repo.json"] = json.dumps(data).encode()
    with pytest.raises(TemplateError, match="cannot be printed"):
        load_repository(web.url("repo.json"))


def test_deep_metadata_does_not_hide_another_mistake(web: Served) -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    version = {"source": "none", "handle": "x", "metadata": deep}
    web.files["/repo.json"] = json.dumps({"name": "n", "templates": {"t": {"versions": {"1": version}}}}).encode()
    with pytest.raises(TemplateError, match="names the source 'none'"):
        load_repository(web.url("repo.json"))


@pytest.mark.parametrize("what", ["/dev/zero", "pipe", "folder", "long"])
def test_what_is_no_small_file_is_not_read_as_a_repository(tmp_path: Path, what: str) -> None:
    path = _odd(tmp_path, what)
    with pytest.raises(TemplateError, match=r"no file|a folder|longer than 4 MiB"):
        load_repository(str(path))


@pytest.mark.parametrize("suffix", [".hash", ".metadata"])
@pytest.mark.parametrize("what", ["/dev/zero", "pipe", "folder", "long"])
def test_what_is_no_small_file_is_not_read_as_a_sidecar(ctx: TaskContext, tmp_path: Path, what: str, suffix: str) -> None:
    (tmp_path / "image").write_bytes(IMAGE)
    (tmp_path / "image.sha256").write_text("0" * 64)
    _odd(tmp_path, what).rename(tmp_path / f"image{suffix}") if not what.startswith("/") else (tmp_path / f"image{suffix}").symlink_to(what)
    with pytest.raises(TemplateError, match=r"no file|a folder|longer than 4 MiB"):
        FileImage(tmp_path / "image").fetch(ctx, tmp_path / "out")


def _odd(folder: Path, what: str) -> Path:
    if what.startswith("/"):
        return Path(what)
    path = folder / what
    match what:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    return path
