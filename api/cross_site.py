"""Requests that a browser sends for a page of another origin: they are refused, links excepted.

Browsers say where a request comes from by Fetch metadata, which a page can't set, to https and loopback addresses. For
other requests that could change something, they send Origin. Programs send neither, and have nobody else's rights.
"""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.header_refusals import refusal
from domain.errors import ParameterError

_SITE, _MODE, _DESTINATION, _ORIGIN = b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"origin"
_JUDGED = frozenset((_SITE, _MODE, _DESTINATION, _ORIGIN))
_DETAIL = (
    "A browser sent this for a page of another site or port, and only this service's own pages may. A proxy in front "
    "must pass Host on unchanged; a program needs to send neither Origin nor Sec-Fetch-Site."
)
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


class CrossSiteCheck:
    """Answers 403 to requests for pages of other origins. A pure ASGI middleware, inside that of request ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and (header := _foreign_header(scope)):
            fault = ParameterError(header, "cross_site", _DETAIL)
            await refusal(scope, HTTPStatus.FORBIDDEN, fault)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _foreign_header(scope: Scope) -> str | None:
    """Return the header by which a request comes from another origin, None if it doesn't.

    `none` means that a person asked, by the address bar for example. Then there is no Origin of a page.
    """
    given: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _JUDGED:
            given[name] = given[name] + b", " + value if name in given else value
    if not given:
        return None
    match given.get(_SITE):
        case b"same-origin":
            return None
        case None | b"none":
            return "Origin" if _ORIGIN in given and not _is_own(given[_ORIGIN], scope) else None
        case _:
            return None if _is_link(given, scope["method"]) else "Sec-Fetch-Site"


def _is_link(given: dict[bytes, bytes], method: str) -> bool:
    """Return whether this opens a page or document in a tab, as a link does; the other page can't read it."""
    return method in {"GET", "HEAD"} and given.get(_MODE) == b"navigate" and given.get(_DESTINATION) == b"document"


def _is_own(origin: bytes, scope: Scope) -> bool:
    """Return whether an Origin is that of this service, which is asked by TLS if a proxy's or its own scheme is."""
    scheme, separator, place = origin.lower().partition(b"://")
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").lower()
    if not separator or not host or scheme not in {b"https", scope["scheme"].encode()}:
        return False
    port = _DEFAULT_PORTS.get(scheme, b"")
    return place.removesuffix(port) == host.removesuffix(port)
