"""POST /jobs/cancel and /jobs/retry: one action on all jobs that match a filter, after a dry run."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict

from api import job_actions
from api.access import requires
from api.actors import BECAUSE, actor_of, read_because
from api.bulk_actions import Bulk, answer, read_asked
from api.callers import check_again
from api.dependencies import ONE_OF_EACH, ActionDep, Allowed, Broker, ServedKinds, ServicesDep
from api.job_filters import METADATA_KEY, JobFilterParameters, job_filter_text, read_job_filter
from api.problems import problem_responses
from api.schemas.bulk_actions import BulkParameters, BulkResponse
from db.bulk_actions import BulkName
from db.bulk_effects import cancel_match, cancel_waiting_matches, retry_match
from db.cancelling import Cancelled
from db.job_filters import match_jobs, matcher
from db.kinds import Retried
from domain.scopes import Scope

router = APIRouter(tags=["controls"], dependencies=ONE_OF_EACH)

ROUTE: dict[str, Any] = {
    "response_model": BulkResponse,
    "responses": {
        200: {"description": "How far the action is; of a dry run, what matches."},
        **problem_responses(400, 409, 413, 415, 422),
    },
    "openapi_extra": {**BECAUSE, "parameters": [METADATA_KEY]},
}


class BulkJobParameters(BulkParameters, JobFilterParameters):
    """The jobs that are acted on, as the list of jobs is narrowed to them."""

    model_config = ConfigDict(extra="allow")


@router.post(
    "/jobs/cancel",
    operation_id="cancel_jobs",
    summary="Cancel all jobs that match",
    dependencies=[requires(Scope.CONTROLS)],
    **ROUTE,
)
async def post_cancel_jobs(
    *,
    request: Request,
    services: ServicesDep,
    broker: Broker,
    action: ActionDep,
    registry: Allowed,
    kinds: ServedKinds,
    parameters: Annotated[BulkJobParameters, Query()],
) -> Response:
    """Cancel the jobs that a dry run matched, each as `POST /jobs/{id}/cancel` does; those that came later stay.

    First `?dry_run=true` with a filter, then the same filter with the `as_of` of its answer. A request acts for some
    seconds: repeat it while `left` isn't 0. It may be repeated, and sent twice at once: no job is taken twice.
    """
    jobs = read_job_filter(parameters, registry, kinds)
    because = await read_because(request)
    asked = read_asked(job_filter_text(jobs), because, parameters)
    actor = await actor_of(request, action, because)

    async def announce(cancelled: Cancelled) -> None:
        await job_actions.announce_cancelled(services.announcer, broker, cancelled)

    matches = matcher(action.tenant_no, jobs)
    bulk = Bulk(
        name=BulkName.CANCEL_JOBS,
        match=lambda connection, limit: match_jobs(connection, action.tenant_no, jobs, limit=limit),
        act=lambda connection, job_no: cancel_match(connection, action.tenant_no, matches, job_no, actor),
        act_together=lambda connection, job_nos: cancel_waiting_matches(
            connection, action.tenant_no, matches, job_nos, actor
        ),
        counted=job_actions.cancel_increments,
        announce=announce,
        check=partial(check_again, request.scope),
    )
    return await answer(action, bulk, asked, actor)


@router.post(
    "/jobs/retry",
    operation_id="retry_jobs",
    summary="Retry all jobs that match",
    dependencies=[requires(Scope.CONTROLS)],
    **ROUTE,
)
async def post_retry_jobs(
    *,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    registry: Allowed,
    kinds: ServedKinds,
    parameters: Annotated[BulkJobParameters, Query()],
) -> Response:
    """Retry all that failed of the jobs that a dry run matched, each as `POST /jobs/{id}/retry` does.

    It goes as `POST /jobs/cancel`. What a single retry refuses is skipped with the code of the refusal.
    """
    jobs = read_job_filter(parameters, registry, kinds)
    because = await read_because(request)
    asked = read_asked(job_filter_text(jobs), because, parameters)
    actor = await actor_of(request, action, because)

    async def announce(retried: Retried) -> None:
        job_actions.announce(services.announcer, retried)

    matches = matcher(action.tenant_no, jobs)
    bulk = Bulk(
        name=BulkName.RETRY_JOBS,
        match=lambda connection, limit: match_jobs(connection, action.tenant_no, jobs, limit=limit),
        act=lambda connection, job_no: retry_match(
            connection, action.tenant_no, matches, job_no, actor, kinds=action.kinds
        ),
        counted=job_actions.retry_increments,
        announce=announce,
        check=partial(check_again, request.scope),
    )
    return await answer(action, bulk, asked, actor)
