"""Pages for whoever keeps the service running: the queue, its processes, regions, providers and dead letters."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import requires
from api.attention import STUCK_WORDS
from api.dependencies import ONE_OF_EACH, Broker, Database, NoParameters, ServiceDatabase, ServicesDep, Visible
from api.page_views import next_address, page, read_filters
from api.routes.dashboard.places import read_places
from api.routes.dead_letters import DeadLetterFilterParameters, DeadLetterParameters, get_dead_letters
from api.routes.queue import get_calls, get_queue
from api.schemas.queue import StuckWork
from db.queue import SHOWN_STUCK
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

_SHOWN_LETTERS: Final = 5
"""Dead letters on the page of the queue; all are on a page of their own."""
_FILTERS: Final = {
    "tenant": "Tenant",
    "job_id": "Job",
    "model": "Model",
    "region": "Region",
    "error_code": "Error code",
}
_OF_A_JOB: Final = {"overdue", "lease_expired", "put_off", "configuration_changed"}
"""Reasons that a job has by itself, and that an action on the job may end."""
_NOTHING: Final = NoParameters()


@dataclass(frozen=True, slots=True)
class StuckGroup:
    """Jobs and batches that are stuck for one reason in one place; `first` has been for longest."""

    first: StuckWork
    jobs: int
    batches: int


@router.get("/ui/queue", dependencies=[requires(Scope.OPERATE)])
async def show_queue(
    *,
    request: Request,
    services: ServicesDep,
    database: Database,
    all_tenants: ServiceDatabase,
    broker: Broker,
    registry: Visible,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Return what waits, runs and is stuck, the processes, and what can be paused."""
    listed = DeadLetterParameters(limit=_SHOWN_LETTERS)
    queue, calls, letters, (regions, providers) = await asyncio.gather(
        get_queue(services=services, database=database, broker=broker, _=_NOTHING),
        get_calls(database, _NOTHING),
        get_dead_letters(request=request, response=Response(), database=database, registry=registry, parameters=listed),
        read_places(request, services, all_tenants, registry),
    )
    return page(
        request,
        "queue.html",
        queue=queue,
        stuck=_grouped(queue.stuck),
        most_stuck=SHOWN_STUCK,
        calls=calls.items,
        reason_words=STUCK_WORDS,
        letters=letters,
        regions=regions,
        providers=providers,
        silent_after=2 * services.settings.heartbeat_seconds,
    )


@router.get("/ui/queue/dead", dependencies=[requires(Scope.OPERATE)])
async def show_dead_letters(request: Request, database: Database, registry: Visible) -> Response:
    """Return the dead letters that match, newest first, with their errors."""
    parameters = read_filters(request, DeadLetterParameters)
    letters = await get_dead_letters(
        request=request, response=Response(), database=database, registry=registry, parameters=parameters
    )
    wanted = parameters.model_dump(include=set(DeadLetterFilterParameters.model_fields), exclude_none=True)
    return page(
        request,
        "dead_letters.html",
        letters=letters,
        wanted=wanted,
        fields=_FILTERS,
        filter_query=urlencode(wanted),
        next_address=next_address(request, letters.next_cursor),
    )


def _grouped(stuck: Sequence[StuckWork]) -> list[StuckGroup]:
    """Return what is stuck for the same reason together, in the order of the first of each."""
    grouped: dict[tuple[str | None, ...], list[StuckWork]] = {}
    for each in stuck:
        of_a_job = (each.tenant, each.job_id) if each.reason in _OF_A_JOB else (None, None)
        grouped.setdefault((*of_a_job, each.reason, each.provider, each.region, each.detail), []).append(each)
    return [
        StuckGroup(
            first=group[0],
            jobs=len({(each.tenant, each.job_id) for each in group}),
            batches=sum(each.batch_id is not None for each in group),
        )
        for group in grouped.values()
    ]
