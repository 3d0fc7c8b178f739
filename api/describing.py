"""The OpenAPI description, with the bodies of the served kinds, and its route."""

from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from api.etags import is_current, weak_tag
from api.kinds import JobKind, Kinds
from api.turns import NOBODY, take_turn

PATH: Final = "/openapi.json"
SERVERS: Final = [{"url": "/", "description": "The service that serves this description."}]
TAGS: Final = [
    {"name": "jobs", "description": "Submit jobs, follow them, and see who submitted them."},
    {"name": "executions", "description": "The cells of inference jobs: answers, errors and attempts."},
    {"name": "imports", "description": "Imported rows, rejected rows and datasets."},
    {"name": "coordination", "description": "Waves, batches, and what asked for a job to be planned."},
    {"name": "controls", "description": "Cancel, retry, resolve and release; who did so."},
    {"name": "queue", "description": "What waits, runs or is stuck; workers; dead letters."},
    {"name": "registry", "description": "Regions, providers and questions that specs may name; pauses."},
    {"name": "audit", "description": "Recounts of jobs from their rows."},
    {"name": "access", "description": "API keys, tenants, sessions, limits and the audit log."},
    {"name": "health", "description": "Probes and metrics."},
]
"""What operations are grouped by, in the order of `/docs`."""


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
    for kind in kinds.served:
        schemas[_spec_name(kind)] = dict(kind.body_schema)
    body["schema"] = {"oneOf": [{"$ref": f"#/components/schemas/{_spec_name(kind)}"} for kind in kinds.served]}
    body["examples"] = {name: example for kind in kinds.served for name, example in kind.body_examples.items()}


def _spec_name(kind: JobKind) -> str:
    """Return the name that the schema of a kind's specs has, which generated clients give to their classes."""
    return f"{kind.name.capitalize()}Spec"
