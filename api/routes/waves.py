"""GET /jobs/{id}/waves and …/batches: the waves and batches of a job."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, JobId, Tenant
from api.etags import TAGGED, IfNoneMatch, tagged
from api.paging import BATCHES, WAVES, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.waves import Batch, BatchList, Wave, WaveList
from db.engine import Engine
from db.import_progress import read_import_batches
from db.reading import MAX_INT
from db.waves import list_batches, list_waves
from domain.scopes import Scope
from domain.status import BatchStatus

router = APIRouter(tags=["coordination"], dependencies=ONE_OF_EACH)

WaveNumber = Annotated[int, Path(ge=0, le=MAX_INT, examples=[1])]


class BatchListParameters(PageParameters):
    """What a wave's batches are narrowed to."""

    status: BatchStatus | None = None


@router.get(
    "/jobs/{job_id}/waves",
    operation_id="list_waves",
    summary="List a job's waves",
    response_model=WaveList,
    responses={**TAGGED, **problem_responses(404, 422)},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_waves(
    *,
    job_id: JobId,
    request: Request,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return a job's waves in order; none while it is queued."""
    found = await read_waves(database, tenant, job_id, parameters)
    answer = tagged(found, if_none_match)
    link_next(request, answer, found.next_cursor)
    return answer


async def read_waves(database: Engine, tenant_no: int, job_id: str, parameters: PageParameters) -> WaveList:
    """Return a page of a job's waves. Raises NotFound, or ParametersRejected for an invalid cursor."""
    page = await list_waves(database, tenant_no, job_id, after=parameters.number(WAVES) or 0, limit=parameters.limit)
    cursor = next_cursor(WAVES, page, lambda wave: [wave.wave_no])
    return WaveList(items=[Wave.of(wave) for wave in page.facts], next_cursor=cursor)


@router.get(
    "/jobs/{job_id}/waves/{wave_number}/batches",
    operation_id="list_batches",
    summary="List a wave's batches",
    response_model=BatchList,
    responses={**TAGGED, **problem_responses(404, 422)},
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_batches(
    *,
    job_id: JobId,
    wave_number: WaveNumber,
    request: Request,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[BatchListParameters, Query()],
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Return a wave's batches in order, with lease and fence."""
    found = await read_batches(database, tenant, job_id, wave_number, parameters)
    answer = tagged(found, if_none_match)
    link_next(request, answer, found.next_cursor)
    return answer


async def read_batches(
    database: Engine, tenant_no: int, job_id: str, wave_number: int, parameters: BatchListParameters
) -> BatchList:
    """Return a page of a wave's batches. Raises NotFound, or ParametersRejected for an invalid cursor."""
    page = await list_batches(
        database,
        tenant_no,
        job_id,
        wave_number,
        after=parameters.number(BATCHES) or 0,
        limit=parameters.limit,
        status=parameters.status,
    )
    cursor = next_cursor(BATCHES, page, lambda batch: [batch.batch_no])
    read = await read_import_batches(database, tenant_no, job_id, [batch.batch_no for batch in page.facts])
    items = [Batch.of(batch, read.get(batch.batch_no)) for batch in page.facts]
    return BatchList(items=items, next_cursor=cursor)
