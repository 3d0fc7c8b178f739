"""Problems, the form of every 4xx and 5xx answer (RFC 9457), and their OpenAPI description.

The mapping from errors to problems is in `errors.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.headers import KEY, LINK, RATE_LIMIT, RATE_LIMIT_POLICY, REPLAYED, REQUEST_ID, RETRY_AFTER
from domain.redaction import redacted

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "/problems/"
_REFUSALS_OF_PROBES = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
)
"""Of every operation, before its route is looked up: for its form, its origin, its pace and its size."""
_REFUSALS = (
    *_REFUSALS_OF_PROBES,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.TOO_MANY_REQUESTS,
)
"""Of every operation but the probes, also for its key and its host."""


class ProblemReason(BaseModel):
    """One reason against one place. Further members such as `allowed`, `move_to` or `nearest` help to mend it."""

    model_config = ConfigDict(extra="allow")

    pointer: str | None = Field(
        description="RFC 6901 pointer into the body as it was sent; null where a parameter is at fault."
    )
    parameter: str | None = Field(
        default=None, description="The query, path or header parameter at fault; absent where the body is."
    )
    code: str = Field(description="Stable; made for programs.")
    detail: str = Field(description="What to do, in words.")


class Problem(BaseModel):
    """An RFC 9457 problem. Further members depend on `code` (such as `job` and `differences` of `job_id_conflict`)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": f"{_TYPE_PREFIX}not_found",
                "title": "There is no such thing",
                "status": 404,
                "detail": "There is no job with this id.",
                "code": "not_found",
                "errors": [],
                "request_id": "6f0c6a4e2b8d4d7f",
            }
        },
    )

    type: str = Field(description="The address of the page that explains the code, below the service's own.")
    title: str = Field(description="What kind of problem this is; the same for each of its kind.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="The fault of this request, and its remedy.")
    code: str = Field(description="Stable; made for programs.")
    errors: list[ProblemReason] = Field(description="Every reason, where there are several places at fault.")
    request_id: str = Field(description="The `X-Request-ID` of this request; the logs carry it too.")


def problem_response(
    *,
    request_id: str,
    status: int,
    title: str,
    detail: str,
    code: str,
    errors: Iterable[Mapping[str, object]] = (),
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer. `members` are added to the standard members and never replace them.

    Secrets are redacted: an error names what was sent.
    """
    document = {
        "type": _TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": list(errors),
        "request_id": request_id,
    }
    return Response(
        orjson.dumps(redacted({**document, **(members or {}), **document}), default=str),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` of a route, which document these problems, 500 and 503."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in sorted({*statuses, 500, 503})
    }


def describe_problems(app: FastAPI) -> None:
    """Make the app's OpenAPI show every 4xx and 5xx as a problem, including those that FastAPI adds by itself.

    Headers that several routes share are described here as well.
    """
    describe: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _mend(describe())
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _mend(schema: dict[str, Any]) -> None:
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for path in schema.get("paths", {}).values():
        if "post" in path:
            _describe_key(path["post"])
        for operation in path.values():
            for status in _REFUSALS if "security" in operation else _REFUSALS_OF_PROBES:
                operation["responses"].setdefault(str(status.value), {"description": status.phrase})
            is_list = any(parameter["name"] == "cursor" for parameter in operation.get("parameters", []))
            for status, answer in operation.get("responses", {}).items():
                if status >= "400":
                    _define(components)
                    examples = answer.get("content", {}).get(MEDIA_TYPE, {})
                    answer["content"] = {MEDIA_TYPE: {**examples, **reference}}
                answer["headers"] = {**answer.get("headers", {}), **_shared_headers(status, is_list=is_list)}


def _describe_key(operation: dict[str, Any]) -> None:
    """Describe the Idempotency-Key of actions."""
    operation.setdefault("parameters", []).append(KEY)
    operation["responses"].setdefault("409", {"description": HTTPStatus.CONFLICT.phrase})
    for status, answer in operation["responses"].items():
        if status < "300":
            answer["headers"] = {**answer.get("headers", {}), "Idempotent-Replayed": REPLAYED}


def _shared_headers(status: str, *, is_list: bool) -> dict[str, Any]:
    headers = {"X-Request-ID": REQUEST_ID}
    if status in {"409", "429", "503"}:
        headers["Retry-After"] = RETRY_AFTER
    if status == "429":
        headers |= {"RateLimit": RATE_LIMIT, "RateLimit-Policy": RATE_LIMIT_POLICY}
    if status == "200" and is_list:
        headers["Link"] = LINK
    return headers


def _define(components: dict[str, Any]) -> None:
    """Add the schemas of a problem, unless a route has added them."""
    if "Problem" not in components:
        described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components.update(described.pop("$defs"))
        components["Problem"] = described
