"""Methods: HEAD on every route that answers GET, and the whole list of what a path takes."""

from fastapi import Request
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

        # A scope of its own: the server leaves the body's length out of account by the method of the one it gave.
        await self._app({**scope, "method": "GET", _WAS_HEAD: True}, receive, send_head)


def is_head(scope: Scope) -> bool:
    """Tell whether nobody will see the body of this answer."""
    return _WAS_HEAD in scope


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that the path takes, by whichever route; none below a mount, which tells its own."""
    routes = [route for route in request.app.router.routes if not isinstance(route, Mount)]
    asked = {"type": "http", "path": request.url.path, "headers": []}
    taken = [
        method
        for method in METHODS
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ["GET", "HEAD", *taken[1:]] if "GET" in taken else taken
