"""GET /queue/dead: executions of all tenants whose tries were used up, and replaying them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api import job_actions
from api.access import requires
from api.actors import BECAUSE, actor_of, read_because
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters, ServicesDep
from api.filters import NameFilter
from api.paging import DEAD_LETTERS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.rate_limits import tell
from api.schemas.dead_letters import DeadLetter, DeadLetterList
from api.schemas.job_actions import RetryAnswer
from db.dead_letters import list_dead_letters
from db.reading import MAX_BIGINT
from domain.scopes import Scope

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)

DeadLetterId = Annotated[int, Path(ge=0, le=MAX_BIGINT, description="As the list shows it.", examples=[1])]


class DeadLetterParameters(PageParameters):
    """Whose dead letters are listed."""

    tenant: NameFilter | None = Field(default=None, description="A tenant's name; left out: of all tenants.")


@router.get(
    "/queue/dead",
    summary="List dead letters",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_dead_letters(
    *,
    request: Request,
    response: Response,
    database: Database,
    parameters: Annotated[DeadLetterParameters, Query()],
) -> DeadLetterList:
    """Return the executions of all tenants that wait to be retried, newest first; none of a cancelled job.

    A tenant finds its own with `GET /executions?status=failed`, and has them retried by its jobs or one by one.
    """
    before = parameters.number(DEAD_LETTERS)
    page = await list_dead_letters(database, tenant=parameters.tenant, before=before, limit=parameters.limit)
    cursor = next_cursor(DEAD_LETTERS, page, lambda letter: [letter.dead_letter_no])
    link_next(request, response, cursor)
    return DeadLetterList(items=[DeadLetter.of(letter) for letter in page.facts], next_cursor=cursor)


@router.post(
    "/queue/dead/{dead_letter_id}/replay",
    summary="Replay a dead letter",
    response_model=RetryAnswer,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def post_replay(
    *,
    dead_letter_id: DeadLetterId,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Plan the execution of any tenant's dead letter anew, once: if it fails again, that is another dead letter."""
    because = await read_because(request)
    result = await job_actions.replay(action, dead_letter_id, await actor_of(request, action, because), because)
    job_actions.announce(services.announcer, result.effect)
    tell(request, result.effect.quotas if result.effect else ())
    return result.response
