"""GET /queue/dead: executions whose tries were used up, and replaying them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import job_actions
from api.access import requires
from api.actors import BECAUSE, actor_of, read_because
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters, ServicesDep, Tenant
from api.given_numbers import DeadLetterNo
from api.paging import DEAD_LETTERS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.rate_limits import tell
from api.schemas.dead_letters import DeadLetter, DeadLetterList
from api.schemas.job_actions import RetryAnswer
from db.dead_letters import list_dead_letters
from domain.scopes import Scope

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)


@router.get(
    "/queue/dead",
    summary="List dead letters",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_dead_letters(
    *,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> DeadLetterList:
    """Return the executions that wait for somebody to have them retried, newest first; none of a cancelled job."""
    page = await list_dead_letters(database, tenant, before=parameters.number(DEAD_LETTERS), limit=parameters.limit)
    cursor = next_cursor(DEAD_LETTERS, page, lambda letter: [letter.dead_letter_no])
    link_next(request, response, cursor)
    return DeadLetterList(items=[DeadLetter.of(letter) for letter in page.facts], next_cursor=cursor)


@router.post(
    "/queue/dead/{dead_letter_id}/replay",
    summary="Replay a dead letter",
    response_model=RetryAnswer,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.CONTROLS)],
)
async def post_replay(
    *,
    dead_letter_id: DeadLetterNo,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Plan the dead letter's execution anew, once: if it fails again, that is another dead letter."""
    because = await read_because(request)
    result = await job_actions.replay(action, dead_letter_id, await actor_of(request, action, because), because)
    job_actions.announce(services.announcer, result.effect)
    tell(request, result.effect.quotas if result.effect else ())
    return result.response
