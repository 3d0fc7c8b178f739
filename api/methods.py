"""Methods: HEAD on every route that answers GET, OPTIONS on all, and the whole list of a path's methods."""

from collections.abc import Collection

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WAS_HEAD = "breakwater.was_head"


class Heads:
    """Answers HEAD as GET would be answered, without the body. A pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy of the scope: the server decides by the method in its own scope that there is no body.
        await self._app({**scope, "method": "GET", _WAS_HEAD: True}, receive, send_head)


def is_head(scope: Scope) -> bool:
    """Return whether this is a HEAD request, whose answer has no body."""
    return _WAS_HEAD in scope


def allowed_methods(request: Request, refusal: HTTPException) -> list[str]:
    """Return the methods that all routes together allow for the path of a request; `refusal` is its 405.

    A mount names its methods in the refusal; of several routes with one path, the framework names only the first
    route's.
    """
    asked = {"type": "http", "path": request.scope["path"], "headers": []}
    routes = [route for route in request.app.router.routes if not isinstance(route, Mount)]
    taken = {
        method for method in METHODS for route in routes if route.matches({**asked, "method": method})[0] is Match.FULL
    }
    return _in_order(taken or set((refusal.headers or {}).get("Allow", "").split(", ")))


def _in_order(methods: Collection[str]) -> list[str]:
    """Return these methods with HEAD, if GET is among them, and OPTIONS."""
    named = [method for method in METHODS if method in methods]
    return ["GET", "HEAD", *named[1:], "OPTIONS"] if "GET" in methods else [*named, "OPTIONS"]
