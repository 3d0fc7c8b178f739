"""The page of the list of jobs: filters in the address, newest jobs first."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api.access import requires
from api.dependencies import Allowed, Database, ServedKinds, Tenant
from api.filters import METADATA
from api.page_queries import METADATA_FIELD, as_query, encoded, filter_faults
from api.page_views import JOBS, page, see_other
from api.routes.jobs import JobListParameters, get_jobs
from api.schemas.jobs import JobList
from domain.errors import ParametersRejected
from domain.scopes import Scope
from domain.status import JobStatus

router = APIRouter(include_in_schema=False)
"""Names may be repeated here: a form sends one for each ticked box."""

SELDOM = (
    *("name", "model", "region", "error_code", "spec_hash"),
    *("created_after", "created_before", "finished_after", "finished_before"),
)
"""Filters that are out of sight until they are wanted."""
NO_FILTERS = ("limit", "cursor")


@router.get(JOBS, dependencies=[requires(Scope.JOBS_READ)])
async def show_jobs(
    request: Request, database: Database, tenant: Tenant, registry: Allowed, kinds: ServedKinds
) -> Response:
    """Return the jobs that the filters in the address match, or what is wrong with these."""
    given = request.query_params.multi_items()
    query = as_query(given)
    if query != given:
        return see_other(JOBS + encoded(query))
    found, faults = JobList(items=[], next_cursor=None), []
    try:
        parameters = JobListParameters.model_validate(dict(query))
        found = await get_jobs(
            request=request,
            response=Response(),
            database=database,
            tenant=tenant,
            registry=registry,
            kinds=kinds,
            parameters=parameters,
        )
    except (ValidationError, ParametersRejected) as error:
        faults = filter_faults(error)
    filters = [(name, value) for name, value in query if name not in NO_FILTERS]
    return page(
        request,
        "jobs.html",
        found=found,
        faults=faults,
        filters=dict(filters),
        metadata=_metadata(filters),
        is_narrowed=bool(filters),
        filter_query=encoded(filters).removeprefix("?"),
        shows_seldom=any(name in SELDOM or name.startswith(METADATA) for name, _ in filters),
        is_first=all(name != "cursor" for name, _ in query),
        next_page=found.next_cursor and _following(query, found.next_cursor),
        first_page=JOBS + encoded([(name, value) for name, value in query if name != "cursor"]),
        states=list(JobStatus),
        kinds=kinds.names,
        regions=registry.allowed_regions,
    )


def _metadata(filters: Sequence[tuple[str, str]]) -> list[str]:
    """Return the filters of metadata as a person writes them: `key=value`, or what was given without a key."""
    shown = [f"{name.removeprefix(METADATA)}={value}" for name, value in filters if name.startswith(METADATA)]
    return [*shown, *(value for name, value in filters if name == METADATA_FIELD)]


def _following(query: Sequence[tuple[str, str]], cursor: str) -> str:
    return JOBS + encoded([*((name, value) for name, value in query if name != "cursor"), ("cursor", cursor)])
