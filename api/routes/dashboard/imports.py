"""What the page of an import shows beside what every job has, and the pages of its batches and rejected rows."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.callers import caller_of
from api.dependencies import ONE_OF_EACH, Database, JobId, Tenant
from api.dependency_graph import MOST_DRAWN, draw, state_of
from api.page_queries import encoded
from api.page_views import page
from api.paging import PageParameters
from api.routes.coordination import read_triggers
from api.routes.rejects import RejectListParameters, read_rejects
from api.routes.waves import BatchListParameters, WaveNumber, read_batches, read_waves
from api.schemas.jobs import Job
from db.engine import Engine
from domain.scopes import Scope
from domain.status import TERMINAL_JOB_STATUSES, BatchStatus

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

WAVES_SHOWN = PageParameters(limit=200)
TRIGGERS_SHOWN = PageParameters(limit=50)
REJECTS_SHOWN = RejectListParameters(limit=10)


async def import_facts(request: Request, database: Engine, tenant_no: int, job: Job) -> Mapping[str, Any]:
    """Return what `job_import.html` draws of an import: its graph, waves, triggers and first rejected rows."""
    if job.import_progress is None:
        return {}
    may_read = Scope.RESULTS_READ in caller_of(request).scopes
    types = job.import_progress.record_types
    is_ended = job.status in TERMINAL_JOB_STATUSES
    spec = job.spec or {}
    depends_on = {each["id"]: each.get("depends_on") or [] for each in spec.get("record_types", ())}
    return {
        "graph": draw(types, depends_on, is_ended=is_ended) if 1 < len(types) <= MOST_DRAWN else None,
        "depends_on": depends_on,
        "type_states": {each.id: state_of(each, is_ended=is_ended) for each in types},
        "waves": await read_waves(database, tenant_no, job.id, WAVES_SHOWN),
        "triggers": await read_triggers(database, tenant_no, job.id, TRIGGERS_SHOWN),
        "rejects": await read_rejects(database, tenant_no, job.id, REJECTS_SHOWN) if may_read else None,
    }


@router.get("/ui/jobs/{job_id}/waves/{wave_number}", dependencies=[requires(Scope.JOBS_READ)])
async def show_batches(
    *,
    job_id: JobId,
    wave_number: WaveNumber,
    request: Request,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[BatchListParameters, Query()],
) -> Response:
    """Return the batches of a wave, in order."""
    found = await read_batches(database, tenant, job_id, wave_number, parameters)
    query = [("status", parameters.status)] if parameters.status else []
    return page(
        request,
        "batches.html",
        job_id=job_id,
        wave_number=wave_number,
        found=found,
        chosen=parameters.status,
        states=list(BatchStatus),
        next_page=found.next_cursor and request.url.path + encoded([*query, ("cursor", found.next_cursor)]),
    )


@router.get("/ui/jobs/{job_id}/rejects", dependencies=[requires(Scope.RESULTS_READ)])
async def show_rejects(
    *,
    job_id: JobId,
    request: Request,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[RejectListParameters, Query()],
) -> Response:
    """Return the rows of an import that could not be taken, with the reasons."""
    found = await read_rejects(database, tenant, job_id, parameters)
    given = (("record_type", parameters.record_type), ("code", parameters.code))
    query = [(name, value) for name, value in given if value]
    return page(
        request,
        "rejects.html",
        job_id=job_id,
        found=found,
        filters=dict(query),
        next_page=found.next_cursor and request.url.path + encoded([*query, ("cursor", found.next_cursor)]),
    )
