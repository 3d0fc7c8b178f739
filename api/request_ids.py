"""The outermost layer of every request: its id, the limits of its key, and a problem document for every 4xx and 5xx.

A pure ASGI middleware, so it costs a request no task and no queue.
"""

import secrets
from collections.abc import Callable

import structlog
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.page_views import PAGE_PROBLEM
from api.problems import MEDIA_TYPE
from api.rate_limits import limit_fields

HEADER = "X-Request-ID"
LONGEST = 100
_NAME = HEADER.lower().encode()
_FAILED = 500
_FIRST_PROBLEM = 400

log = structlog.stdlib.get_logger()


class RequestIds:
    """Gives each request an id, binds it to its log lines, and sends it with the answer.

    `problem_of(status, request_id)` gives the answer for an uncaught exception, and for a 4xx or 5xx that isn't a
    problem document (FastAPI's limit of bodies answers in plain text). `on_problem(scope, status, body)` is called
    with each problem document that is sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        problem_of: Callable[[int, str], Response],
        on_problem: Callable[[Scope, int, bytes], None],
    ) -> None:
        self._app = app
        self.problem_of = problem_of
        self.on_problem = on_problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(scope, receive, send, request_id, self)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer.send)
            except Exception:
                log.exception("request_failed", method=scope["method"], path=_template(scope))
                if answer.has_started:
                    raise
                await answer.replace(_FAILED, [])


class _Answer:
    """An answer while it is sent."""

    __slots__ = (
        "_layer",
        "_problem_status",
        "_receive",
        "_request_id",
        "_scope",
        "_send",
        "has_started",
        "is_replaced",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, layer: RequestIds) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._layer = layer
        self._problem_status: int | None = None
        self.has_started = False
        self.is_replaced = False

    async def send(self, message: Message) -> None:
        """Pass the message on with the id; drop the body of an answer that was replaced."""
        if message["type"] == "http.response.start":
            if message["status"] >= _FIRST_PROBLEM:
                if not _is_problem(message) and PAGE_PROBLEM not in self._scope["state"]:
                    await self.replace(message["status"], message["headers"])
                    return
                self._problem_status = message["status"]
            self.has_started = True
            message["headers"] = [*message["headers"], *self._fields()]
        elif self._problem_status is not None:  # whose body is one message
            problem = self._scope["state"].get(PAGE_PROBLEM, message["body"])
            self._layer.on_problem(self._scope, self._problem_status, problem)
        if not self.is_replaced:
            await self._send(message)

    async def replace(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the problem of this status instead; keep headers such as Retry-After."""
        self.is_replaced = True
        self.has_started = True
        response = self._layer.problem_of(status, self._request_id)
        kept = [(name, value) for name, value in headers if name.lower() in {b"allow", b"retry-after"}]
        response.raw_headers += [*kept, *self._fields()]
        self._layer.on_problem(self._scope, status, bytes(response.body))
        await response(self._scope, self._receive, self._send)

    def _fields(self) -> list[tuple[bytes, bytes]]:
        return [(_NAME, self._request_id.encode()), *limit_fields(self._scope["state"])]


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, which every answer and log line carries."""
    request_id: str = scope.get("state", {}).get("request_id", "")
    return request_id


def _given_id(scope: Scope) -> str | None:
    """Return the client's id if it is well-formed: up to 100 visible ASCII characters."""
    for name, value in scope["headers"]:
        if name == _NAME:
            is_visible = 0 < len(value) <= LONGEST and all(0x21 <= byte <= 0x7E for byte in value)  # noqa: PLR2004
            return value.decode() if is_visible else None
    return None


def _is_problem(message: Message) -> bool:
    return any(name.lower() == b"content-type" and MEDIA_TYPE.encode() in value for name, value in message["headers"])


def _template(scope: Scope) -> str:
    """Return the route's path template: the path itself may hold a client's secret."""
    template: str = getattr(scope.get("route"), "path", "")
    return template
