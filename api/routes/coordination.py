"""GET /jobs/{id}/coordination and POST /jobs/{id}/coordinate: the triggers of a job's coordination."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.actors import read_action_body
from api.dependencies import ONE_OF_EACH, ActionDep, Database, JobId, NoParameters, ServicesDep, Tenant
from api.paging import TRIGGERS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.waves import ManualTrigger, Trigger, TriggerList
from api.triggers import coordinate
from db.engine import Engine
from db.triggers import list_triggers
from domain.scopes import Scope

router = APIRouter(tags=["coordination"], dependencies=ONE_OF_EACH)


@router.get(
    "/jobs/{job_id}/coordination",
    operation_id="list_triggers",
    summary="List a job's triggers",
    responses=problem_responses(404, 422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_triggers(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> TriggerList:
    """Return every trigger of the job's coordination, oldest first: at most one of them won."""
    found = await read_triggers(database, tenant, job_id, parameters)
    link_next(request, response, found.next_cursor)
    return found


async def read_triggers(database: Engine, tenant_no: int, job_id: str, parameters: PageParameters) -> TriggerList:
    """Return a page of a job's triggers. Raises NotFound, or ParametersRejected for an invalid cursor."""
    after = parameters.number(TRIGGERS) or 0
    page = await list_triggers(database, tenant_no, job_id, after=after, limit=parameters.limit)
    cursor = next_cursor(TRIGGERS, page, lambda trigger: [trigger.trigger_no])
    return TriggerList(items=[Trigger.of(trigger) for trigger in page.facts], next_cursor=cursor)


@router.post(
    "/jobs/{job_id}/coordinate",
    operation_id="coordinate_job",
    summary="Trigger a job's coordination",
    response_model=ManualTrigger,
    responses={
        200: {"description": "The waves were there already; the trigger joined them."},
        202: {"model": ManualTrigger, "description": "The job waits to be planned; the trigger is recorded."},
        **problem_responses(400, 404, 413, 415, 422),
    },
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_coordinate(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Trigger coordination by hand. Safe at any time and any number of times: there is one set of waves.

    An import that was put off, since its source was away, is tried at once.
    """
    body = await read_action_body(request, NoParameters)  # anything else would be ignored
    result = await coordinate(action, job_id, body)
    if result.effect is not None and result.effect.is_open:
        services.announcer.announce([result.effect.job_no], source="manual")
    return result.response
