"""Actions on jobs, cells and batches: cancel, retry, resolve, release. Each is safe to repeat."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api import job_actions
from api.access import requires
from api.actors import BECAUSE, actor_of, read_action_body, read_because
from api.callers import caller_of
from api.dependencies import (
    ONE_OF_EACH,
    ActionDep,
    Allowed,
    Broker,
    Database,
    JobId,
    NoParameters,
    ServicesDep,
    Tenant,
)
from api.filters import canonical_region
from api.given_numbers import ExecutionId
from api.problems import problem_responses
from api.rate_limits import tell
from api.schemas.executions import ExecutionWithAttempts
from api.schemas.job_actions import (
    DRY_RUN,
    RESOLUTION_EXAMPLES,
    RETRY_EXAMPLES,
    CancelAnswer,
    ReleaseAnswer,
    ResolveRequest,
    RetryAnswer,
    RetryRequest,
)
from api.validating import described_body
from db.kinds import RetryFilter
from db.reading import MAX_INT
from db.resolving import Resolution
from db.retrying import preview_retry
from domain.scopes import Scope

router = APIRouter(tags=["controls"], dependencies=ONE_OF_EACH)

PROBLEMS = problem_responses(400, 404, 413, 415, 422)
PROBLEMS_AND_CONFLICT = problem_responses(400, 404, 409, 413, 415, 422)
BatchId = Annotated[int, Path(ge=0, le=MAX_INT, description="As its wave lists it.", examples=[1])]


class RetryParameters(NoParameters):
    """Parameters of a retry."""

    dry_run: bool = Field(default=False, description=DRY_RUN)


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=CancelAnswer,
    responses={
        200: {"description": "The job had ended before, and is as it was."},
        202: {"model": CancelAnswer, "description": "The job is cancelled; calls in flight are given up."},
        **PROBLEMS,
    },
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_cancel(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    broker: Broker,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """End everything that is open of a job, for good: what waits is never begun, what runs is given up within seconds.

    Results that were recorded before stay. What a worker reports afterwards changes nothing.
    """
    because = await read_because(request)
    result = await job_actions.cancel(action, job_id, await actor_of(request, action, because), because)
    await job_actions.announce_cancelled(services.announcer, broker, result.effect)
    return result.response


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retry_job",
    summary="Retry a job's failed executions, or batches",
    response_model=RetryAnswer,
    responses=PROBLEMS_AND_CONFLICT,
    openapi_extra=described_body(RetryRequest, RETRY_EXAMPLES, required=False),
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_retry(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    database: Database,
    tenant: Tenant,
    action: ActionDep,
    registry: Allowed,
    parameters: Annotated[RetryParameters, Query()],
) -> Any:
    """Plan failed executions anew, with as many tries as the policy grants; a job that had ended runs again.

    Of an import, failed batches are read again, and one that failed before it had batches is coordinated anew; only
    `error_code` narrows that.

    The others stay as they are, whatever they are. Pressed again, nothing has failed, and nothing happens. A cancelled
    job is refused: 409 `job_cancelled`; so is an import where a newer one of the same record type completed
    (`superseded`), or where one is at work beside which a table or query can't be read (`dataset_changing`).
    """
    body = await read_action_body(request, RetryRequest)
    region = canonical_region(body.region, registry, pointer="/region")
    wanted = RetryFilter(region=region, model=body.model, error_code=body.error_code)
    if parameters.dry_run:
        limited_by = caller_of(request).limited_by
        preview = await preview_retry(database, tenant, job_id, wanted, limited_by=limited_by, kinds=action.kinds)
        tell(request, preview.quotas)
        return RetryAnswer.of(preview)
    result = await job_actions.retry_job(action, job_id, wanted, await actor_of(request, action, body), body)
    job_actions.announce(services.announcer, result.effect)
    tell(request, result.effect.quotas if result.effect else ())
    return result.response


@router.post(
    "/executions/{execution_id}/retry",
    operation_id="retry_execution",
    summary="Retry an execution",
    response_model=RetryAnswer,
    responses=PROBLEMS_AND_CONFLICT,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_execution_retry(
    *,
    execution_id: ExecutionId,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Plan one execution anew if it has failed, as a retry of its job would; any other is left as it is."""
    because = await read_because(request)
    result = await job_actions.retry_execution(action, execution_id, await actor_of(request, action, because), because)
    job_actions.announce(services.announcer, result.effect)
    tell(request, result.effect.quotas if result.effect else ())
    return result.response


@router.post(
    "/executions/{execution_id}/resolve",
    operation_id="resolve_execution",
    summary="Resolve an execution",
    response_model=ExecutionWithAttempts,
    responses=PROBLEMS_AND_CONFLICT,
    openapi_extra=described_body(ResolveRequest, RESOLUTION_EXAMPLES),
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_resolve(
    *,
    execution_id: ExecutionId,
    request: Request,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Record the outcome of an execution that is `unknown`; the job's status follows from it.

    The ambiguous try stays in the history. The same resolution again changes nothing; another one, or one of an
    execution that isn't unknown, is refused: 409 `execution_not_unknown`.
    """
    body = await read_action_body(request, ResolveRequest)
    resolution = Resolution(body.status, body.output)
    return await job_actions.resolve(action, execution_id, resolution, await actor_of(request, action, body), body)


@router.post(
    "/jobs/{job_id}/batches/{batch_id}/release",
    operation_id="release_batch",
    summary="Release a stuck lease",
    response_model=ReleaseAnswer,
    responses=PROBLEMS,
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_release(
    *,
    job_id: JobId,
    batch_id: BatchId,
    request: Request,
    services: ServicesDep,
    broker: Broker,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Take a running batch from its worker at once instead of waiting for its lease to run out.

    Another worker begins it anew; what the first one still reports changes nothing, though its calls were made.
    """
    because = await read_because(request)
    result = await job_actions.release(action, job_id, batch_id, await actor_of(request, action, because), because)
    if result.effect is not None and result.effect.is_released:
        await job_actions.notify_workers(broker, result.effect.job_no)
        services.announcer.announce_batch(result.effect.job_no, batch_id)
    return result.response
