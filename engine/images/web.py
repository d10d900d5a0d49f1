"""What is fetched from web servers: read on a thread of its own, so that a cancel works at once whatever the server does.

Servers are not trusted to be there, to be quick, to say how long a thing is, or to send us where we may go.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from ..context import TaskContext
from ..errors import TemplateError
from .texts import MAX_TEXT_BYTES
from .trouble import SHOWN_CHARACTERS, NotThere, WebTrouble, explained, plain, shown
from .unpacking import IMAGE_BYTES

if TYPE_CHECKING:
    from requests import Response, Session

SCHEMES = ("http", "https")
CHUNK_BYTES = 1024 * 1024
QUEUED_CHUNKS = 8
POLL_S = 0.05
"""How often a wait for a server looks at the cancel flag."""
MAX_REDIRECTS = 5
MAX_DIGITS = 19
"""Of a length; more than any disk has."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that a later try may not get."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient we are."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    """Without a single byte."""
    slow_s: float = 60.0
    """Over which the rate is looked at."""
    slow_bytes_per_s: float = 1024.0
    text_s: float = 60.0
    """For a repository or a sidecar, as a whole."""
    tries: int = 4
    """In a row that bring little new."""
    worth_bytes: int = 64 * 1024
    """What a try must bring so that the next one counts as the first."""
    give_up_s: float = 60.0
    """Without anything new there is no further try."""
    pause_s: float = 1.0
    """Before the second try; twice as long before each further one."""
    image_bytes: int = IMAGE_BYTES
    """Of an image whose size nobody declares, unpacked."""

    @classmethod
    def of(cls, silence_s: float) -> Self:
        """Return the patience of somebody who lets a server be silent for so long."""
        whole_s = 2 * silence_s
        return cls(min(cls().connect_s, silence_s), silence_s, slow_s=whole_s, text_s=whole_s, give_up_s=whole_s)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Head:
    """How a server begins its answer."""

    url: str
    """After redirects."""
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def length(self) -> int | None:
        """Bytes that the server says will follow."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < MAX_DIGITS else None

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: a login, or a kind way to say that there is no such thing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


@dataclass(slots=True)
class Answer:
    """A server's answer while it comes in. Use it as a context manager: leaving it hangs up."""

    ctx: TaskContext
    url: str
    request: Mapping[str, str]
    method: str = "GET"
    limits: Limits = DEFAULT_LIMITS
    _queue: queue.Queue[Head | bytes | TemplateError | None] = field(default_factory=lambda: queue.Queue(QUEUED_CHUNKS))
    _left: threading.Event = field(default_factory=threading.Event)
    _response: list[Response] = field(default_factory=list)

    def __enter__(self) -> Self:
        threading.Thread(target=self._read, name="web", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for response in self._response:
            _hang_up(response)

    def head(self) -> Head:
        """Wait for the beginning of the answer.

        Raises:
            WebTrouble: no connection, or the server cannot answer now.
            NotThere: the server has no such thing.
            TemplateError: the server sends us where we do not go.
            Cancelled: the user asked to stop.
        """
        first = self._take(time.monotonic() + self.limits.connect_s + self.limits.silence_s)
        assert isinstance(first, Head), "the reader begins with a Head"
        return first

    def chunks(self) -> Iterator[bytes]:
        """Yield what comes in, as it comes in.

        Raises:
            WebTrouble: the connection broke, or the server is silent or too slow.
            Cancelled: the user asked to stop.
        """
        limits = self.limits
        window_s, seen = time.monotonic(), 0
        while isinstance(chunk := self._take(time.monotonic() + limits.silence_s), bytes):
            seen += len(chunk)
            if (took_s := time.monotonic() - window_s) >= limits.slow_s:
                if seen < limits.slow_bytes_per_s * took_s:
                    raise WebTrouble(f"'{shown(self.url)}' comes too slowly: {seen} bytes in {took_s:.0f} s")
                window_s, seen = time.monotonic(), 0
            yield chunk

    def _take(self, until_s: float) -> Head | bytes | None:
        while True:
            self.ctx.raise_if_cancelled()
            try:
                item = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                if time.monotonic() > until_s:
                    raise WebTrouble(f"'{shown(self.url)}': the server went silent for {self.limits.silence_s:g} s") from None
                continue
            if isinstance(item, TemplateError):
                raise item
            return item

    def _read(self) -> None:
        """Run on the thread: everything that the libraries raise here is an OSError, a ValueError or urllib3's HTTPError."""
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        try:
            with _session() as session:
                self._read_with(session)
        except TemplateError as failure:
            self._put(failure)
        except (RequestException, HTTPError, OSError, ValueError, AttributeError) as failure:  # AttributeError: of a socket hung up on
            self._put(explained(failure, self.url))

    def _read_with(self, session: Session) -> None:
        response = self._open(session)
        self._response.append(response)
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._put(Head(response.url, response.status_code, headers))
        while self.method == "GET" and (data := response.raw.read1(CHUNK_BYTES, decode_content=False)):
            self._put(data)
        self._put(None)

    def _open(self, session: Session) -> Response:
        url = self.url
        for _ in range(MAX_REDIRECTS + 1):
            response = session.request(
                self.method,
                url,
                headers={"Accept-Encoding": "identity", **self.request},
                stream=True,
                allow_redirects=False,
                timeout=(self.limits.connect_s, self.limits.silence_s),
            )
            if response.status_code not in (301, 302, 303, 307, 308):
                return self._accepted(response)
            response.close()
            url = _redirected(url, response.headers.get("location", ""))
        raise TemplateError(f"'{shown(self.url)}' sends us from one place to the next without end")

    def _accepted(self, response: Response) -> Response:
        status = response.status_code
        if status in (200, 206, 416):
            return response
        response.close()
        why = f"'{shown(response.url)}': the server answers {status} {plain((response.reason or '')[:SHOWN_CHARACTERS])}".rstrip()
        if status in _AGAIN:
            raise WebTrouble(why)
        raise NotThere(why) if 400 <= status < 500 else TemplateError(why)

    def _put(self, item: Head | bytes | TemplateError | None) -> None:
        while not self._left.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return


def get(ctx: TaskContext, url: str, headers: Mapping[str, str] | None = None, limits: Limits = DEFAULT_LIMITS) -> Answer:
    """Ask for a thing; nothing happens before the answer is entered."""
    require_web(url)
    return Answer(ctx, url, headers or {}, limits=limits)


def read_text(ctx: TaskContext, url: str, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return a small text from the web; tries again where that may help.

    Raises:
        NotThere: the server has no such thing.
        TemplateError: it cannot be had, is too long, or is no text.
        Cancelled: the user asked to stop.
    """
    patience = Patience(ctx, limits)
    while True:
        try:
            return _read_text_once(ctx, url, limits)
        except WebTrouble as trouble:
            patience.wait_after(trouble)


def content_length(ctx: TaskContext, url: str, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """Return how many bytes a thing on the web is; None when that cannot be found out."""
    try:
        require_web(url)
        with Answer(ctx, url, {}, "HEAD", limits) as answer:
            return answer.head().length
    except TemplateError:
        return None


class Patience:
    """Counts tries, and the time that they take."""

    def __init__(self, ctx: TaskContext, limits: Limits) -> None:
        self._ctx = ctx
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        """Count from here: something came in."""
        self._failed = 0
        self._since_s = time.monotonic()

    def wait_after(self, trouble: WebTrouble) -> None:
        """Wait before the next try, or raise `trouble` when there is none."""
        limits = self._limits
        self._failed += 1
        if self._failed >= limits.tries or time.monotonic() - self._since_s >= limits.give_up_s:
            raise trouble
        pause_s = limits.pause_s * 2 ** (self._failed - 1)
        self._ctx.log(f"{trouble.message}; trying again in {pause_s:g} s")
        self._ctx.sleep(pause_s)


def is_web(location: str) -> bool:
    return location.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def require_web(url: str) -> None:
    """Raises: TemplateError: it is no address of a web server."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme.lower() in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets and ports
        is_address = False
    if not is_address:
        raise TemplateError(f"'{shown(url)}' is no http or https address")


def require_web_file(url: str) -> None:
    """Refuse an address that names no file: with the suffix of a sidecar it would name another server.

    Raises:
        TemplateError: it is no address of a web server, or of nothing on it.
    """
    require_web(url)
    if not urlsplit(url).path:
        raise TemplateError(f"'{shown(url)}' names a server, but no file on it")


def _read_text_once(ctx: TaskContext, url: str, limits: Limits) -> str:
    until_s = time.monotonic() + limits.text_s
    content = bytearray()
    with get(ctx, url, limits=limits) as answer:
        head = answer.head()
        require_no_page(head, url)
        if head.headers.get("content-encoding", "identity") not in ("identity", ""):
            raise TemplateError(f"'{shown(url)}' comes packed as '{plain(head.headers['content-encoding'])}', which was not asked for")
        expected = head.length
        for chunk in answer.chunks():
            content += chunk
            if len(content) > MAX_TEXT_BYTES:
                raise TemplateError(f"'{shown(url)}' is longer than {MAX_TEXT_BYTES >> 20} MiB: that is no repository and no checksum")
            if time.monotonic() > until_s:
                raise WebTrouble(f"'{shown(url)}' is not there after {limits.text_s:g} s")
    if expected is not None and len(content) != expected:
        raise WebTrouble(f"'{shown(url)}' was cut off after {len(content)} of {expected} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"'{shown(url)}' is not UTF-8 text") from error


def require_no_page(head: Head, url: str) -> None:
    """Raises: NotThere: the server answers with a page for people."""
    if head.is_page:
        raise NotThere(f"'{shown(url)}': the server answers with a web page (does it want a login?)")


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError as error:  # of brackets
        raise TemplateError(f"'{shown(url)}' redirects to '{shown(location)}', which is no address") from error
    before, after = urlsplit(url).scheme.lower(), urlsplit(target).scheme.lower()
    if not location or after not in SCHEMES:
        raise TemplateError(f"'{shown(url)}' redirects to '{shown(location)}', which is no http or https address; it is not followed")
    if before == "https" and after == "http":
        raise TemplateError(f"'{shown(url)}' redirects from https to plain '{shown(target)}'; it is not followed")
    require_web(target)
    return target


@contextmanager
def _session() -> Iterator[Session]:
    """Open a session that takes its proxies, certificates and `.netrc` from the environment."""
    import requests

    with requests.Session() as session:
        session.headers["User-Agent"] = "lagotui"
        yield session


def _hang_up(response: Response) -> None:
    """Close the connection under a reader that may be waiting on it."""
    try:
        response.raw.shutdown()
    except (OSError, ValueError, RuntimeError):  # it has come to its end by itself
        return
