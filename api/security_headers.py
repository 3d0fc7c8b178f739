"""Headers that keep browsers from misusing a response, whatever its type; pages add what they need.

There is no Strict-Transport-Security: browsers ignore it over plain HTTP, which is all that this process speaks. The
proxy that ends TLS knows whether all of its host is served by TLS.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Not `no-referrer`: by that a form of our own pages would be sent with `Origin: null`, as a foreign one is.
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class SecurityHeaders:
    """Adds to each response those of HEADERS that it hasn't itself. A pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", ())
                names = {name for name, _ in own}
                message["headers"] = [*own, *(header for header in HEADERS if header[0] not in names)]
            await send(message)

        await self._app(scope, receive, send_with_headers)
