"""GET /datasets/{name}/records: the rows of imports, by pages or as a file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, PageDatabase, ServicesDep, Tenant, downloads_of
from api.downloads import Download
from api.filters import NameFilter, refuse_nul
from api.headers import DISPOSITION
from api.paging import link_next
from api.problems import problem_responses
from api.record_files import CSV, NDJSON
from api.representations import Representations
from api.schemas.records import RecordList
from api.services import Services
from api.text_cursors import RECORDS, TextPageParameters, next_cursor
from db.datasets import list_record_types
from db.engine import Engine
from db.records import RecordRead, all_records, list_records
from domain.errors import ParameterError, ParametersRejected
from domain.scopes import Scope

router = APIRouter(tags=["imports"], dependencies=ONE_OF_EACH)

REPRESENTATIONS = Representations(NDJSON, CSV)
NAMED_TYPES = 100
Dataset = Annotated[
    str,
    Path(min_length=1, max_length=200, description="As the import named it, percent-encoded.", examples=["erp"]),
    AfterValidator(refuse_nul),
]


class RecordListParameters(TextPageParameters):
    """Which rows of a dataset are asked for."""

    record_type: NameFilter | None = Field(
        default=None, description="A record type's id; has to be given, and an answer without it names those there are."
    )


@router.get(
    "/datasets/{dataset:path}/records",
    operation_id="list_records",
    summary="List or download imported rows",
    response_model=RecordList,
    responses={
        200: {"headers": {"Content-Disposition": DISPOSITION}, "content": REPRESENTATIONS.content},
        **problem_responses(404, 406, 422),
    },
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_records(
    *,
    dataset: Dataset,
    request: Request,
    services: ServicesDep,
    database: Database,
    page_database: PageDatabase,
    tenant: Tenant,
    parameters: Annotated[RecordListParameters, Query()],
) -> Any:
    """Return the rows of a record type by their keys, as the last import that changed them left them.

    With `Accept: application/x-ndjson` or `text/csv`: all of them, as they are at one moment, in a file; `limit` and
    `cursor` don't go with that.
    """
    if parameters.record_type is None:
        raise await _record_type_missing(database, tenant, dataset)
    file_format = REPRESENTATIONS.negotiate(request, parameters)
    if file_format is not None:
        rows = partial(all_records, tenant_no=tenant, dataset=dataset, record_type=parameters.record_type)
        return Download(downloads_of(request), rows, file_format, "records", shown=lambda record: record)
    async with read_page(services, page_database, tenant, dataset, parameters) as (records, cursor):
        answer = Response(RecordList.as_json(records, cursor), media_type="application/json")
    answer.headers["Vary"] = "Accept"
    link_next(request, answer, cursor)
    return answer


@asynccontextmanager
async def read_page(
    services: Services, page_database: Engine, tenant_no: int, dataset: str, parameters: RecordListParameters
) -> AsyncIterator[tuple[Sequence[RecordRead], str | None]]:
    """Read a page of rows and the cursor of the next; the turn for a large page lasts as long as the block."""
    after = parameters.after(RECORDS)
    async with services.large_pages.place(tenant_no):
        page = await list_records(
            page_database, tenant_no, dataset, parameters.record_type or "", after=after, limit=parameters.limit
        )
        yield page.facts, next_cursor(RECORDS, page, lambda record: record.record_key)


async def _record_type_missing(database: Engine, tenant_no: int, dataset: str) -> ParametersRejected:
    allowed = await list_record_types(database, tenant_no, dataset, limit=NAMED_TYPES)
    detail = f"Give one `record_type` of this dataset: {', '.join(allowed)}."
    return ParametersRejected([ParameterError("record_type", "record_type_missing", detail, {"allowed": allowed})])
