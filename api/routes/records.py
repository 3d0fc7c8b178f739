"""GET /datasets/{name}/records and GET /jobs/{id}/rejects: the rows of imports, and those that could not be taken."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api.accepting import preferred
from api.dependencies import ONE_OF_EACH, Database, JobId, Tenant
from api.downloads import Download
from api.errors import BadRequest
from api.execution_files import FileKind
from api.filters import NameFilter
from api.paging import REJECTS, PageParameters, link_next
from api.paging import next_cursor as next_int_cursor
from api.problems import problem_responses
from api.record_cursors import RecordPageParameters, next_cursor
from api.record_files import CSV, NDJSON
from api.schemas.records import Record, RecordList, Reject, RejectList
from db.records import all_records, list_records, list_rejects
from domain.errors import ParameterError, ParametersRejected

router = APIRouter(tags=["imports"], dependencies=ONE_OF_EACH)

FILES = {kind.media_type: kind for kind in (NDJSON, CSV)}
OFFERED = ("application/json", *FILES)
DOWNLOADED: dict[str, Any] = {
    kind.media_type: {"schema": {"type": "string", "description": kind.description}} for kind in FILES.values()
}
Dataset = Annotated[str, Path(min_length=1, max_length=200, description="As the import named it.", examples=["erp"])]


class RecordListParameters(RecordPageParameters):
    """Which rows of a dataset are asked for."""

    record_type: NameFilter = Field(description="A record type's id.")


@router.get(
    "/datasets/{dataset}/records",
    summary="List or download imported rows",
    response_model=RecordList,
    responses={200: {"content": DOWNLOADED}, **problem_responses(404, 406, 422)},
)
async def get_records(
    *,
    dataset: Dataset,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[RecordListParameters, Query()],
) -> Any:
    """Return the rows of a record type by their keys, as the last import that changed them left them.

    With `Accept: application/x-ndjson` or `text/csv`: all of them, as they are at one moment, in a file; `limit` and
    `cursor` don't go with that.
    """
    kind = _kind_of(request)
    if kind is not None:
        _refuse_paging(parameters)
        rows = partial(all_records, tenant_no=tenant, dataset=dataset, record_type=parameters.record_type)
        return Download(request.app.state.downloads, rows, kind, "records", shown=lambda record: record)
    page = await list_records(
        database, tenant, dataset, parameters.record_type, after=parameters.after(), limit=parameters.limit
    )
    cursor = next_cursor(page)
    response.headers["Vary"] = "Accept"
    link_next(request, response, cursor)
    return RecordList(items=[Record.of(record) for record in page.facts], next_cursor=cursor)


@router.get("/jobs/{job_id}/rejects", summary="List rejected rows", responses=problem_responses(404, 422))
async def get_rejects(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[PageParameters, Query()],
) -> RejectList:
    """Return the rows of an import that could not be taken, with the reason and the position in their source."""
    key = parameters.key(REJECTS)
    page = await list_rejects(
        database, tenant, job_id, after=(key[0], key[1]) if key else (0, -1), limit=parameters.limit
    )
    cursor = next_int_cursor(REJECTS, page, lambda reject: [reject.batch_no, reject.position])
    link_next(request, response, cursor)
    return RejectList(items=[Reject.of(reject) for reject in page.facts], next_cursor=cursor)


def _kind_of(request: Request) -> FileKind | None:
    """Return which file is asked for, None for a page of the list; raise BadRequest where it's something else."""
    media_type = preferred(",".join(request.headers.getlist("Accept")), OFFERED)
    if media_type is None:
        raise BadRequest(406, "not_acceptable", f"Accept one of {', '.join(OFFERED)}.", header="Accept")
    return FILES.get(media_type)


def _refuse_paging(parameters: RecordListParameters) -> None:
    given = [name for name in RecordPageParameters.model_fields if name in parameters.model_fields_set]
    if given:
        detail = "A download has no pages: leave `{}` out, or accept application/json."
        raise ParametersRejected([ParameterError(name, "not_with_downloads", detail.format(name)) for name in given])
