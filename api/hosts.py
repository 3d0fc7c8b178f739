"""The Host header: HTTP/1.1 requires it, and it has to name this service.

A page whose name was made to resolve to this machine (DNS rebinding) is of the same origin as its requests here, and
could read every response. Its requests carry its own name as Host.
"""

import re
from functools import lru_cache
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.header_refusals import refusal
from domain.addresses import LOOPBACK_ONLY, Hosts
from domain.errors import ParameterError
from domain.notes import cut

HEADER = "Host"
PROBES = frozenset(("/livez", "/readyz", "/healthz"))
"""Load balancers ask these by whatever address a process has; they show nothing of anybody."""
_NAME = HEADER.lower().encode()
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\])(?::[0-9]*)?", re.ASCII)
"""RFC 9112 section 3.2: a name, an IPv4 address or an IPv6 one in brackets, and perhaps a port. It may be empty."""
_LONGEST = 300
_KNOWN_AT_ONCE = 1024


class HostCheck:
    """Answers 400 to a request whose Host breaks the protocol, and 421 to one whose Host isn't allowed.

    A pure ASGI middleware, inside that of request ids. `app.state.allowed_hosts` has the hosts that a setting names.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == _NAME]
        if fault := _fault(given, scope["http_version"]):
            await refusal(scope, HTTPStatus.BAD_REQUEST, fault)(scope, receive, send)
        elif fault := _unknown(given, scope):
            await refusal(scope, HTTPStatus.MISDIRECTED_REQUEST, fault)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fault(given: list[bytes], version: str) -> ParameterError | None:
    if not given and version != "1.0":
        return ParameterError(HEADER, "host_missing", "Send a Host header: HTTP/1.1 requires it.")
    if len(given) > 1:
        return ParameterError(HEADER, "host_repeated", "Send one Host header.")
    if given and not _HOST.fullmatch(given[0]):
        return ParameterError(HEADER, "host_malformed", "Send the Host as a name or an address, with a port if needed.")
    return None


def _unknown(given: list[bytes], scope: Scope) -> ParameterError | None:
    allowed: Hosts = getattr(scope["app"].state, "allowed_hosts", LOOPBACK_ONLY)
    host = given[0] if given else b""
    if scope["path"] in PROBES or (len(host) < _LONGEST and _is_allowed(allowed, host)):
        return None
    shown = f"`{cut(host.decode())}`" if host else "This"
    detail = (
        f"{shown} isn't a host of this service. If it should be, whoever runs the service adds it to "
        "BREAKWATER_ALLOWED_HOSTS; loopback names and addresses need no entry."
    )
    return ParameterError(HEADER, "unknown_host", detail)


@lru_cache(_KNOWN_AT_ONCE)
def _is_allowed(allowed: Hosts, host: bytes) -> bool:
    return allowed.has(host.decode())
