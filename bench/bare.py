"""The baseline of POST /jobs: FastAPI with the same body and nothing behind it."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.bodies import read_json
from bench.jobs import REGISTRY
from domain.normalize import normalize


class Spec(BaseModel):
    """The benchmark's spec as a tutorial would declare it."""

    name: str
    models: list[str]
    regions: list[str]
    questions: list[str]
    parameters: dict[str, Any]


def create_app() -> FastAPI:
    """Return an app with two routes: `bare` only parses the body; `validate` also normalizes, hashes and answers."""
    app = FastAPI()

    @app.post("/bare", status_code=202)
    async def bare(spec: Spec) -> dict[str, Any]:
        return {"name": spec.name, "models": len(spec.models)}

    @app.post("/validate")
    async def validate(request: Request) -> Response:
        normalized = normalize(await read_json(request), REGISTRY)
        body = {
            "spec": normalized.spec.to_json(),
            "normalization": [note.to_json() for note in normalized.notes],
            "planned": normalized.planned.to_json(),
            "spec_hash": normalized.spec_hash,
        }
        return Response(orjson.dumps(body), 202, media_type="application/json")

    return app
