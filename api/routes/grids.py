"""GET /jobs/{id}/grid: the states of a job's cells in as few bytes as a page can draw."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Allowed, Database, JobId, Tenant
from api.etags import TAGGED, IfNoneMatch, tagged
from api.filters import NameFilter, canonical_region
from api.paging import GRID, PageParameters, link_next, next_cursor, placed
from api.problems import problem_responses
from api.schemas.grids import Grid
from db.grids import GridFilter, read_grid
from db.reading import MAX_SMALLINT
from domain.scopes import Scope

router = APIRouter(tags=["jobs"], dependencies=ONE_OF_EACH)

MOST_SINGLE = 50_000
DRAWN = 2000
"""Cells that a page draws one by one."""


class GridParameters(PageParameters):
    """The part of the grid that is shown."""

    model: NameFilter | None = Field(default=None, description="A model's id.")
    region: NameFilter | None = Field(default=None, description="A region, by name or alias.")
    first_question: int = Field(default=1, ge=1, le=MAX_SMALLINT, description="The place of the first question.")
    questions: int | None = Field(
        default=None, ge=1, le=MAX_SMALLINT, description="How many questions at most; left out for all."
    )
    single: int = Field(
        default=DRAWN,
        ge=0,
        le=MOST_SINGLE,
        description="Up to so many cells are shown one by one; of more, only counts.",
    )


@router.get(
    "/jobs/{job_id}/grid",
    operation_id="get_job_grid",
    summary="Show the states of a job's cells",
    response_model=Grid,
    responses={**TAGGED, **problem_responses(404, 422)},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_grid(
    *,
    job_id: JobId,
    request: Request,
    database: Database,
    tenant: Tenant,
    registry: Allowed,
    parameters: Annotated[GridParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return the cells of this moment by model and region: a letter each, or counts where there are very many.

    Before the job is planned all of them are pending. An import has none.
    """
    shown = await look_at_grid(job_id, database, tenant, registry, parameters)
    answer = tagged(shown, if_none_match)
    link_next(request, answer, shown.next_cursor)
    return answer


async def look_at_grid(
    job_id: str, database: Database, tenant: Tenant, registry: Allowed, parameters: GridParameters
) -> Grid:
    """Return the part of the grid that the parameters ask for; the job's page draws it. Raises as the route does."""
    wanted = GridFilter(
        model=parameters.model,
        region=canonical_region(parameters.region, registry),
        first_question=parameters.first_question - 1,
        questions=parameters.questions,
    )
    grid = await read_grid(database, tenant, job_id, wanted)
    page = placed(grid.rows, GRID, parameters)
    cursor = next_cursor(GRID, page, lambda row: row[:1])
    return Grid.of(grid, page, cursor=cursor, most_single=parameters.single)
