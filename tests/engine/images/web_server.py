"""A web server of the tests' own on 127.0.0.1: honest, slow, lying, silent, or redirecting, as a test wants it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behave = Callable[["Handler"], None]


@dataclass
class Served:
    """What the server has, and what it was asked for."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    behave: dict[str, Behave] = field(default_factory=dict)
    """Path → what is done instead of answering honestly."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, Range)."""
    ending: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over, for handlers that hang."""

    def url(self, path: str) -> str:
        return self.base + path

    def add(self, path: str, content: bytes, *, hashed: bool = True) -> str:
        """Serve a file, with its `.sha256` beside it; return its address."""
        self.files[f"/{path}"] = content
        if hashed:
            self.files[f"/{path}.sha256"] = hashlib.sha256(content).hexdigest().encode()
        return self.url(path)

    def ranges(self, path: str) -> list[str]:
        """Return the Range of every GET of a path."""
        return [span for method, asked, span in self.asked if method == "GET" and asked == path]


class Handler(BaseHTTPRequestHandler):
    served: Served

    def do_GET(self) -> None:
        self.served.asked.append((self.command, self.path, self.headers.get("Range", "")))
        behave = self.served.behave.get(self.path)
        try:
            if behave is not None:
                behave(self)
            else:
                self.honest()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def honest(self, etag: str = '"v1"') -> None:
        """Answer as a good server does, ranges and all."""
        content = self.served.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = self._start(etag)
        if start > len(content) or (start and start == len(content)):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", etag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:])

    def begin(self, length: int | None, status: int = 200, **headers: str) -> None:
        """Send a head with any length."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.wfile.flush()
        self.served.ending.wait(120)
        self.close_connection = True

    def _start(self, etag: str) -> int:
        span = self.headers.get("Range", "")
        fits = self.headers.get("If-Range", etag) == etag
        return int(span.removeprefix("bytes=").rstrip("-")) if span and fits else 0

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@contextmanager
def serving() -> Iterator[Served]:
    served = Served()
    handler = type("OwnHandler", (Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served.base = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.ending.set()
        server.shutdown()
        server.server_close()
