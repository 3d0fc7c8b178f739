"""The OpenAPI description, with the bodies of the served kinds, and its route."""

from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from api.etags import is_current, weak_tag
from api.kinds import Kinds
from api.turns import NOBODY, take_turn

PATH: Final = "/openapi.json"


def describe(app: FastAPI, kinds: Kinds) -> None:
    """Add these kinds and the bodies of their specs to the app's description."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_kinds(plain(), kinds)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def serve_description(app: FastAPI) -> None:
    """Serve the app's description, which anybody may read.

    FastAPI's own route would write its JSON anew for each request, which holds up all others for 5 ms (2026-11-30).
    """

    @cache
    def written() -> tuple[bytes, str]:
        body = bytes(JSONResponse(app.openapi()).body)
        return body, weak_tag(body)

    async def show(request: Request) -> Response:
        await take_turn(request, NOBODY)
        body, tag = written()
        headers = {"ETag": tag}
        if is_current(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    app.add_route(PATH, show, include_in_schema=False)


def _add_kinds(described: dict[str, Any], kinds: Kinds) -> None:
    schemas = described["components"]["schemas"]
    schemas["Kind"]["enum"] = kinds.names
    schemas["JobInShort"]["properties"]["kind"]["enum"] = kinds.names
    body = described["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = {"oneOf": [dict(kind.body_schema) for kind in kinds.served]}
    body["examples"] = {name: example for kind in kinds.served for name, example in kind.body_examples.items()}
