"""The page of a job: why it waits, how far it is, its cells or record types, its timeline, and who submitted it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from api.access import requires
from api.callers import caller_of
from api.dependencies import (
    ONE_OF_EACH,
    Allowed,
    Database,
    JobId,
    NoParameters,
    ServedKinds,
    ServicesDep,
    Tenant,
)
from api.page_views import JOBS, page, read_filters
from api.paging import EVENTS, PageParameters, encode_key
from api.routes.audit import get_job_audit
from api.routes.dashboard.imports import import_facts
from api.routes.events import get_events, get_submissions
from api.routes.grids import GridParameters, look_at_grid
from api.routes.jobs import shown_job
from api.schemas.grids import LETTER_BY_STATE, Grid, GridRow
from api.shown_specs import with_spec
from api.spec_lines import noted_lines
from api.stuck_jobs import explain_job
from api.timeline_words import Entry, entries
from db.jobs import JobRead, read_job
from domain.scopes import Scope
from domain.spec import INFERENCE

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

SHOWN_EVENTS = 200
SHOWN_SUBMISSIONS = 50
MOST_ROWS = 200
MOST_CELLS = 2000
"""Cells that are drawn one by one."""


class JobPageParameters(GridParameters):
    """The part of the job that its page shows: of the grid, of the timeline, and whether it is recounted."""

    before: int | None = Field(default=None, ge=1, description="Show the events before this one.")
    audit: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for the page with the parts of the service that its facts come from."""

    request: Request
    database: Any
    tenant: int
    job: JobRead
    parameters: JobPageParameters


@router.get(JOBS + "/{job_id}", dependencies=[requires(Scope.JOBS_READ)])
async def show_job(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    database: Database,
    tenant: Tenant,
    registry: Allowed,
    kinds: ServedKinds,
) -> Response:
    """Return the page of a job, of any kind: what all kinds share, and the part of its own kind."""
    parameters = read_filters(request, JobPageParameters)
    stored = await read_job(database, tenant, job_id)
    asked = Asked(request, database, tenant, stored, parameters)
    job = await with_spec(
        await shown_job(request, stored, database, registry, kinds), stored, services.large_pages, tenant
    )
    grid = None
    if stored.kind == INFERENCE:
        grid = await look_at_grid(job_id, database, tenant, registry, _part_of_grid(parameters, stored))
    may_look = stored.finished_at is None and Scope.OPERATE in caller_of(request).scopes
    stuck = await explain_job(services, stored.job_no) if may_look else ()
    audit = await get_job_audit(job_id, database, tenant, NoParameters()) if parameters.audit else None
    submissions = await get_submissions(
        job_id=job_id,
        request=request,
        response=Response(),
        database=database,
        tenant=tenant,
        parameters=PageParameters(limit=SHOWN_SUBMISSIONS),
    )
    return page(
        request,
        "job.html",
        job=job,
        is_open_job=stored.finished_at is None,
        stuck=stuck,
        events=await _events(asked, services),
        before=parameters.before,
        submissions=submissions,
        audit=audit,
        submitted=noted_lines(job.submitted, job.normalization),
        normalized=noted_lines(job.spec),
        asked_for=parameters,
        **_drawn(grid, job, parameters),
        **await import_facts(request, database, tenant, job),
    )


def _part_of_grid(parameters: JobPageParameters, job: JobRead) -> GridParameters:
    """Return what is asked of the grid: whole models on each page, and as many cells as are drawn."""
    regions = max(1, min(job.regions, MOST_ROWS))
    part = parameters.model_dump(exclude={"before", "audit"}, exclude_unset=True)
    return GridParameters(**{**part, "limit": MOST_ROWS // regions * regions, "single": MOST_CELLS})


async def _events(asked: Asked, services: ServicesDep) -> Sequence[Entry]:
    """Return the newest events, or those before one, the newest first."""
    last = asked.job.last_event_no if asked.parameters.before is None else asked.parameters.before - 1
    first = max(0, last - SHOWN_EVENTS)
    found = await get_events(
        job_id=asked.job.id,
        request=asked.request,
        response=Response(),
        services=services,
        database=asked.database,
        tenant=asked.tenant,
        parameters=PageParameters(limit=SHOWN_EVENTS, cursor=encode_key(EVENTS, [first]) if first else None),
    )
    return entries([event for event in reversed(found.items) if event.id <= last])


def _drawn(grid: Grid | None, job: Any, parameters: JobPageParameters) -> dict[str, Any]:
    """Return what the template of an inference job draws: the rows of the grid by model, its questions, its links."""
    if grid is None:
        return {"grid": None}
    rows, step = len(grid.items), max(1, grid.last_question - grid.first_question + 1)
    given = parameters.model_dump(include={"model", "region", "first_question", "questions"}, exclude_none=True)
    links = {
        "first_rows": given,
        "next_rows": {**given, "cursor": grid.next_cursor},
        "earlier_questions": {**given, "first_question": max(1, grid.first_question - step), "questions": step},
        "later_questions": {**given, "first_question": grid.last_question + 1, "questions": step},
    }
    return {
        "grid": grid,
        "grid_models": list(dict.fromkeys(row.model_id for row in grid.items)),
        "grid_regions": [name for name in grid.regions if any(row.region == name for row in grid.items)],
        "row_by_pair": {(row.model_id, row.region): row for row in grid.items},
        "question_texts": {each["id"]: each.get("text", "") for each in (job.spec or {}).get("questions", ())},
        "state_by_letter": {letter: state for state, letter in LETTER_BY_STATE.items()},
        "cell_links": [f"{JOBS}/{grid.job_id}/cell?{_pair(row)}" for row in grid.items],
        "fitting_questions": max(1, MOST_CELLS // rows) if rows else 0,
        **{name: urlencode(query) for name, query in links.items()},
    }


def _pair(row: GridRow) -> str:
    return urlencode({"model": row.model_id, "region": row.region})
