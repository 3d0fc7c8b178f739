"""The Host header: HTTP/1.1 requires it, and a request with none, several or a malformed one is refused."""

import re
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem_response
from api.request_ids import request_id_of
from domain.errors import ParameterError

HEADER = "Host"
_NAME = HEADER.lower().encode()
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\])(?::[0-9]*)?", re.ASCII)
"""RFC 9112 section 3.2: a name, an IPv4 address or an IPv6 one in brackets, and perhaps a port. It may be empty."""


class Hosts:
    """Answers 400 to a request whose Host breaks the protocol. A pure ASGI middleware, inside that of request ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or (fault := _fault(scope)) is None:
            await self._app(scope, receive, send)
            return
        status = HTTPStatus.BAD_REQUEST
        refusal = problem_response(
            request_id=request_id_of(scope),
            status=status,
            title=status.phrase,
            detail=fault.detail,
            code=fault.code,
            errors=[fault.to_json()],
        )
        await refusal(scope, receive, send)


def _fault(scope: Scope) -> ParameterError | None:
    given = [value for name, value in scope["headers"] if name == _NAME]
    if not given and scope["http_version"] != "1.0":
        return ParameterError(HEADER, "host_missing", "Send a Host header: HTTP/1.1 requires it.")
    if len(given) > 1:
        return ParameterError(HEADER, "host_repeated", "Send one Host header.")
    if given and not _HOST.fullmatch(given[0]):
        return ParameterError(HEADER, "host_malformed", "Send the Host as a name or an address, with a port if needed.")
    return None
