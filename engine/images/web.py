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
from .unpacking import IMAGE_BYTES

if TYPE_CHECKING:
    from requests import Response, Session

SCHEMES = ("http", "https")
CHUNK_BYTES = 1024 * 1024
QUEUED_CHUNKS = 8
POLL_S = 0.05
"""How often a wait for a server looks at the cancel flag."""
MAX_REDIRECTS = 5
MAX_TEXT_BYTES = 4 * 1024 * 1024
"""Of repositories, sidecars and lists of checksums."""
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
    """In a row that bring nothing new."""
    pause_s: float = 1.0
    """Before the second try; twice as long before each further one."""
    image_bytes: int = IMAGE_BYTES
    """Of an image whose size nobody declares, unpacked."""


DEFAULT_LIMITS = Limits()


class WebTrouble(TemplateError):
    """A server that cannot be reached, stops in the middle or is busy: another try may help."""


class NotThere(TemplateError):
    """The server says that there is no such thing, or that it is not for us."""


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
        return int(text) if text.isascii() and text.isdigit() else None


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
            self._put(WebTrouble(f"'{shown(self.url)}' cannot be fetched: {_reason(failure)}"))

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
        why = f"'{shown(response.url)}': the server answers {status} {response.reason}".rstrip()
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
    for pause_s in pauses(limits):
        try:
            return _read_text_once(ctx, url, limits)
        except WebTrouble:
            if pause_s is None:
                raise
            ctx.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def content_length(ctx: TaskContext, url: str, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """Return how many bytes a thing on the web is; None when that cannot be found out."""
    try:
        require_web(url)
        with Answer(ctx, url, {}, "HEAD", limits) as answer:
            return answer.head().length
    except TemplateError:
        return None


def pauses(limits: Limits) -> Iterator[float | None]:
    """Yield how long to wait after each try that fails; None after the last."""
    for number in range(limits.tries - 1):
        yield limits.pause_s * 2**number
    yield None


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


def shown(url: str) -> str:
    """Return a URL without the password that may be in it."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def _read_text_once(ctx: TaskContext, url: str, limits: Limits) -> str:
    until_s = time.monotonic() + limits.text_s
    content = bytearray()
    with get(ctx, url, limits=limits) as answer:
        expected = answer.head().length
        for chunk in answer.chunks():
            content += chunk
            if len(content) > MAX_TEXT_BYTES:
                raise TemplateError(f"'{shown(url)}' is longer than {MAX_TEXT_BYTES >> 20} MiB: that is no repository and no checksum")
            if time.monotonic() > until_s:
                raise WebTrouble(f"'{shown(url)}' is not there after {limits.text_s:g} s")
    if expected is not None and len(content) != expected:
        raise WebTrouble(f"'{shown(url)}' was cut off after {len(content)} of {expected} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"'{shown(url)}' is not UTF-8 text") from error


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    before, after = urlsplit(url).scheme.lower(), urlsplit(target).scheme.lower()
    if not location or after not in SCHEMES:
        raise TemplateError(f"'{shown(url)}' redirects to '{shown(location)}', which is no http or https address; it is not followed")
    if before == "https" and after == "http":
        raise TemplateError(f"'{shown(url)}' redirects from https to plain '{shown(target)}'; it is not followed")
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


def _reason(failure: Exception) -> str:
    """Return the innermost cause: the libraries wrap it several times."""
    import re
    import socket

    seen: list[BaseException] = []
    cause: BaseException | None = failure
    while cause is not None and cause not in seen:
        seen.append(cause)
        inner = next((each for each in cause.args if isinstance(each, BaseException)), None)
        reason = getattr(cause, "reason", None)
        cause = (reason if isinstance(reason, BaseException) else None) or inner or cause.__cause__ or cause.__context__
    for each in reversed(seen):
        if isinstance(each, socket.gaierror):
            return "the name of the server is not known"
        if isinstance(each, TimeoutError):
            return "the server does not answer"
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return re.sub(r"<[^>]* object at 0x[0-9a-f]+>:? ?|\w+\(.*?\): ", "", str(seen[-1])) or type(seen[-1]).__name__
