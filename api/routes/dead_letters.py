"""GET /queue/dead: executions of all tenants whose tries were used up, and replaying them."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api import job_actions
from api.access import requires
from api.actors import BECAUSE, actor_of, read_because
from api.bulk_actions import Bulk, answer, read_asked
from api.callers import check_again
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters, ServicesDep, Visible
from api.filters import NameFilter, canonical_region
from api.job_filters import filter_text
from api.paging import DEAD_LETTERS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.rate_limits import tell
from api.schemas.bulk_actions import BulkParameters, BulkResponse
from api.schemas.dead_letters import DeadLetter, DeadLetterList
from api.schemas.job_actions import RetryAnswer
from db.bulk_actions import BulkName
from db.bulk_effects import replay_match
from db.dead_letters import DeadLetterFilter, list_dead_letters, match_dead_letters
from db.kinds import Retried
from db.reading import MAX_BIGINT
from domain.registry import Registry
from domain.scopes import Scope

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)

DeadLetterId = Annotated[int, Path(ge=0, le=MAX_BIGINT, description="As the list shows it.", examples=[1])]


class DeadLetterFilterParameters(NoParameters):
    """What dead letters are narrowed to; all of it must hold."""

    tenant: NameFilter | None = Field(default=None, description="A tenant's name; left out: of all tenants.")
    job_id: NameFilter | None = Field(default=None, description="The id of a job, of whichever tenant.")
    region: NameFilter | None = Field(default=None, description="A region, by name or alias.")
    model: NameFilter | None = Field(default=None, description="A model's id.")
    error_code: NameFilter | None = Field(default=None, description="The code of the error.")

    def read(self, registry: Registry) -> DeadLetterFilter:
        """Return the filter that they ask for. Raises ParametersRejected."""
        region = canonical_region(self.region, registry)
        return DeadLetterFilter(self.tenant, self.job_id, region, self.model, self.error_code)


class ReplayParameters(BulkParameters, DeadLetterFilterParameters):
    """The dead letters that are replayed, as their list is narrowed to them."""


class DeadLetterParameters(PageParameters, DeadLetterFilterParameters):
    """Which dead letters are listed; all of it must hold."""


@router.get(
    "/queue/dead",
    operation_id="list_dead_letters",
    summary="List dead letters",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_dead_letters(
    *,
    request: Request,
    response: Response,
    database: Database,
    registry: Visible,
    parameters: Annotated[DeadLetterParameters, Query()],
) -> DeadLetterList:
    """Return the executions of all tenants that wait to be retried, newest first; none of a cancelled job.

    A tenant finds its own with `GET /executions?status=failed`, and has them retried by its jobs or one by one.
    """
    before = parameters.number(DEAD_LETTERS)
    page = await list_dead_letters(database, parameters.read(registry), before=before, limit=parameters.limit)
    cursor = next_cursor(DEAD_LETTERS, page, lambda letter: [letter.dead_letter_no])
    link_next(request, response, cursor)
    return DeadLetterList(items=[DeadLetter.of(letter) for letter in page.facts], next_cursor=cursor)


@router.post(
    "/queue/dead/replay",
    operation_id="replay_dead_letters",
    summary="Replay all dead letters that match",
    response_model=BulkResponse,
    responses={
        200: {"description": "How far the action is; of a dry run, what matches."},
        **problem_responses(400, 409, 413, 415, 422),
    },
    openapi_extra=BECAUSE,
    dependencies=[requires(Scope.OPERATE)],
)
async def post_replay_all(
    *,
    request: Request,
    services: ServicesDep,
    action: ActionDep,
    registry: Visible,
    parameters: Annotated[ReplayParameters, Query()],
) -> Response:
    """Replay the dead letters that a dry run matched, each as `POST /queue/dead/{id}/replay` does.

    First `?dry_run=true` with a filter, then the same filter with the `as_of` of its answer, as `POST /jobs/cancel`.
    """
    letters = parameters.read(registry)
    given = {name: value for name, value in asdict(letters).items() if value is not None}
    because = await read_because(request)
    asked = read_asked(filter_text(given), because, parameters)
    actor = await actor_of(request, action, because)

    async def announce(retried: Retried) -> None:
        job_actions.announce(services.announcer, retried)

    bulk = Bulk(
        name=BulkName.REPLAY_DEAD_LETTERS,
        match=lambda connection, limit: match_dead_letters(connection, letters, limit=limit),
        act=lambda connection, number: replay_match(connection, number, actor),
        counted=job_actions.retry_increments,
        announce=announce,
        check=partial(check_again, request.scope),
    )
    return await answer(action, bulk, asked, actor)


@router.post(
    "/queue/dead/{dead_letter_id}/replay",
    operation_id="replay_dead_letter",
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
