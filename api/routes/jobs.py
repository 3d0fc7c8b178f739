"""POST /jobs: a submitted spec becomes a job, joins one, or is refused with the reason."""

from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api.bodies import read_idempotency_key, read_json
from api.dedup_examples import CONFLICT_EXAMPLES, CREATED_EXAMPLES, JOINED_EXAMPLES
from api.dependencies import ONE_OF_EACH, NoParameters, Tenant, services_of
from api.headers import LOCATION
from api.problems import MEDIA_TYPE, problem_responses
from api.request_ids import request_id_of
from api.schemas.submissions import SubmissionAnswer
from api.services import Services
from submissions.responses import SubmissionResponse
from submissions.submission import Sender, Submission

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)

MAX_LEDGER_TEXT = 200
CONFLICTS: dict[str, Any] = {MEDIA_TYPE: {"examples": CONFLICT_EXAMPLES}}


class SubmitParameters(NoParameters):
    """How a spec is submitted."""

    dry_run: bool = Field(
        default=False, description="Say what a POST would do, counting what an import would read, and store nothing."
    )


@router.post(
    "/jobs",
    summary="Submit a job",
    status_code=202,
    response_class=Response,
    responses={
        202: {
            "model": SubmissionAnswer,
            "description": "A new job.",
            "content": {"application/json": {"examples": CREATED_EXAMPLES}},
            "headers": {"Location": {**LOCATION, "required": True}},
        },
        200: {
            "model": SubmissionAnswer,
            "description": "Joined to a job that is the same, replayed under its Idempotency-Key, or a dry run.",
            "content": {"application/json": {"examples": JOINED_EXAMPLES}},
            "headers": {"Location": LOCATION},
        },
        **problem_responses(400, 409, 413, 415, 422),
        409: {"description": "What is in the way: `code` says which.", "content": CONFLICTS},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    # `api/describing.py` adds the schemas and examples of the kinds that are served.
                    "schema": {"oneOf": []},
                }
            },
        },
    },
)
async def submit_job(
    request: Request,
    tenant: Tenant,
    parameters: Annotated[SubmitParameters, Query()],
) -> Response:
    """Validate, normalize and dedup a spec; answer with what will run and why.

    The job is committed before the 202 leaves. A spec without an `id` joins a job with the same content that is active,
    or `completed` or `partial` and ended a moment ago (`BREAKWATER_DEDUP_SECONDS`), unless `on_duplicate` says
    otherwise; never one that failed or was cancelled. `dedup.previous` names the last job of this content that isn't
    joined.
    """
    services = services_of(request)  # not by a parameter, which costs each POST 8 µs (2026-11-30)
    key = read_idempotency_key(request)
    body = await read_json(request)
    sender = _sender(request)
    if parameters.dry_run:
        submission = services.submissions.read(body, tenant_no=tenant, sender=sender, key=key)
        response = await _preview(services, submission)
    else:
        response = await services.submissions.submit(body, tenant_no=tenant, sender=sender, key=key)
    headers = {"Idempotent-Replayed": "true"} if response.is_replayed else {}
    if response.body["job"] is not None:
        headers["Location"] = response.body["job"]["links"]["self"]
    return Response(orjson.dumps(response.body), response.status_code, headers, "application/json")


async def _preview(services: Services, submission: Submission) -> SubmissionResponse:
    response = await services.submissions.preview(submission)
    count_plan = services.previews.get(submission.normalized.spec.kind)
    if count_plan is None:
        return response
    return replace(response, body={**response.body, "planned": await count_plan(submission.normalized)})


def _sender(request: Request) -> Sender:
    user_agent = request.headers.get("user-agent")
    return Sender(
        request_id=request_id_of(request.scope),
        client=request.client.host if request.client else None,
        user_agent=_storable(user_agent) if user_agent else None,
    )


def _storable(text: str) -> str:
    """Return the start of a header as text that the database takes."""
    return text[:MAX_LEDGER_TEXT].encode("ascii", "replace").decode().replace("\0", "?")
