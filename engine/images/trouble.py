"""What goes wrong with web servers, in words: which trouble another try may end, and which it never will."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

from ..errors import TemplateError

SHOWN_CHARACTERS = 500
"""Of what a server says."""


class WebTrouble(TemplateError):
    """A server that cannot be reached, stops in the middle or is busy: another try may help."""

    default_hint = "look at the address and the network (http_proxy, https_proxy and no_proxy count), then run the same command again"


class NotThere(TemplateError):
    """The server says that there is no such thing, or that it is not for us."""

    default_hint = "look at the address, in a browser for instance, and at the repository that names it"


def shown(url: str) -> str:
    """Return a URL without the password that may be in it, and without what would harm a terminal."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return plain(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}")


def plain(text: str) -> str:
    """Return what a server said in characters that can be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def explained(failure: Exception, url: str) -> TemplateError:
    """Return what the libraries raised as an error of ours; a WebTrouble where another try may help."""
    from requests.exceptions import InvalidHeader

    causes = list(_causes(failure))
    what = f"'{shown(url)}' cannot be fetched"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "when the certificate is one of your own: export REQUESTS_CA_BUNDLE=/path/to/its/authority.pem"
            return TemplateError(f"{what}: the server's certificate is not trusted: {plain(cause.verify_message)}", hint=hint)
        if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return TemplateError(f"{what}: the server does not speak https there", hint="try the address with http:")
    if any(type(cause).__name__ in _NEVER for cause in causes) or (
        isinstance(failure, ValueError) and not isinstance(failure, InvalidHeader)
    ):
        return TemplateError(f"{what}{_through(url)}: {_said(causes[-1])}", hint="look at the address, and at http_proxy and https_proxy")
    return WebTrouble(f"{what}{_through(url)}: {_reason(causes)}")


_NEVER = frozenset({"InvalidProxyURL", "InvalidSchema", "LocationParseError", "LocationValueError", "ProxySchemeUnknown"})
"""Exceptions of requests and urllib3 about addresses that are none; most are ValueErrors too."""


def _through(url: str) -> str:
    """Return by which proxy of the environment a server is asked, for messages."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    return f" through the proxy '{shown(proxy)}'" if proxy else ""


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was made of, the innermost last: the libraries wrap them several times."""
    seen: list[BaseException] = []
    cause: BaseException | None = failure
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        inner = next((each for each in cause.args if isinstance(each, BaseException)), None)
        reason = getattr(cause, "reason", None)
        cause = (reason if isinstance(reason, BaseException) else None) or inner or cause.__cause__ or cause.__context__


def _reason(causes: list[BaseException]) -> str:
    for cause in reversed(causes):
        if isinstance(cause, socket.gaierror):
            return "the name of the server is not known"
        if isinstance(cause, TimeoutError):
            return "the server does not answer"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    kinds = {type(cause).__name__: cause for cause in causes}
    if "IncompleteRead" in kinds:
        return _cut_off(kinds["IncompleteRead"])
    if "RemoteDisconnected" in kinds:
        return "the server hung up without an answer"
    if kinds.keys() & {"BadStatusLine", "LineTooLong", "HTTPException", "InvalidHeader", "InvalidChunkLength", "ValueError"}:
        return f"the server's answer is no HTTP that can be understood ({_said(causes[-1])})"
    return _said(causes[-1])


def _cut_off(cause: BaseException) -> str:
    """Return what an IncompleteRead of the standard library (bytes) or of urllib3 (a number) says."""
    came, missing = getattr(cause, "partial", 0), getattr(cause, "expected", None)
    text = f"it was cut off after {came if isinstance(came, int) else len(came)} bytes"
    return text if missing is None else f"{text}, where {missing} more were promised"


def _said(cause: BaseException) -> str:
    text = re.sub(r"<[^>]* object at 0x[0-9a-f]+>:? ?|\w+\(.*?\): ", "", str(cause))
    return plain(text[:SHOWN_CHARACTERS]) or type(cause).__name__
