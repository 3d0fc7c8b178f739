"""GET /jobs/{id}/rejects: the rejected rows of an import, by pages or as a file."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, JobId, Tenant, downloads_of
from api.downloads import Download
from api.filters import NameFilter
from api.headers import DISPOSITION
from api.paging import REJECTS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.record_files import REJECTS_CSV, REJECTS_NDJSON
from api.representations import Representations
from api.schemas.records import Reject, RejectList
from db.engine import Engine
from db.rejects import FIRST, RejectFilter, all_rejects, list_rejects
from domain.scopes import Scope

router = APIRouter(tags=["imports"], dependencies=ONE_OF_EACH)

REPRESENTATIONS = Representations(REJECTS_NDJSON, REJECTS_CSV)


class RejectListParameters(PageParameters):
    """What an import's rejects are narrowed to; all of it must hold."""

    record_type: NameFilter | None = Field(default=None, description="A record type's id.")
    code: NameFilter | None = Field(default=None, description="Why they could not be taken, such as `key_missing`.")


@router.get(
    "/jobs/{job_id}/rejects",
    operation_id="list_rejects",
    summary="List or download rejected rows",
    response_model=RejectList,
    responses={
        200: {"headers": {"Content-Disposition": DISPOSITION}, "content": REPRESENTATIONS.content},
        **problem_responses(404, 406, 422),
    },
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_rejects(
    *,
    job_id: JobId,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[RejectListParameters, Query()],
) -> Any:
    """Return the rows of an import that could not be taken, with the reason and the position in their source.

    With `Accept: application/x-ndjson` or `text/csv`: all of them that match, as they are at one moment, in a file;
    `limit` and `cursor` don't go with that.
    """
    file_format = REPRESENTATIONS.negotiate(request, parameters)
    if file_format is not None:
        rows = partial(all_rejects, tenant_no=tenant, job_id=job_id, wanted=_wanted(parameters))
        name = f"{job_id.replace(':', '-')}-rejects"
        return Download(downloads_of(request), rows, file_format, name, shown=Reject.of)
    found = await read_rejects(database, tenant, job_id, parameters)
    response.headers["Vary"] = "Accept"
    link_next(request, response, found.next_cursor)
    return found


async def read_rejects(database: Engine, tenant_no: int, job_id: str, parameters: RejectListParameters) -> RejectList:
    """Return a page of an import's rejects. Raises NotFound, or ParametersRejected for an invalid cursor."""
    wanted = _wanted(parameters)
    key = parameters.key(REJECTS)
    after = (key[0], key[1]) if key else FIRST
    page = await list_rejects(database, tenant_no, job_id, wanted, after=after, limit=parameters.limit)
    cursor = next_cursor(REJECTS, page, lambda reject: [reject.batch_no, reject.position])
    return RejectList(items=[Reject.of(reject) for reject in page.facts], next_cursor=cursor)


def _wanted(parameters: RejectListParameters) -> RejectFilter:
    return RejectFilter(record_type=parameters.record_type, code=parameters.code)
