"""GET /audit-log: who did what to what, when, and with which outcome, by pages or as a file."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, downloads_of
from api.downloads import Download
from api.filters import Moment, NameFilter
from api.headers import DISPOSITION
from api.paging import AUDIT_LOG, PageParameters, encode_key, link_next
from api.problems import problem_responses
from api.representations import Representations
from api.schemas.audit_log import CSV, NDJSON, AuditLog, AuditLogEntry
from db.audit_log import AuditFilter, AuditOutcome, AuditPlace, list_audit_log, whole_audit_log
from db.engine import Engine
from domain.scopes import Scope

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)

REPRESENTATIONS = Representations(NDJSON, CSV)


class AuditLogParameters(PageParameters):
    """What the log is narrowed to; all of it must hold."""

    key_id: NameFilter | None = Field(default=None, description="The id of an API key.")
    tenant: NameFilter | None = Field(default=None, description="A tenant's name.")
    action: NameFilter | None = Field(
        default=None, description="As entries show it, such as `POST /jobs/{job_id}/cancel` or `keys create`."
    )
    outcome: AuditOutcome | None = None
    since: Moment | None = Field(default=None, description="From this moment on; RFC 3339, else UTC.")
    until: Moment | None = Field(default=None, description="Before this moment; RFC 3339, else UTC.")

    def wanted(self) -> AuditFilter:
        """Return the filter."""
        return AuditFilter(**self.model_dump(exclude={"limit", "cursor"}))


@router.get(
    "/audit-log",
    operation_id="list_audit_entries",
    summary="List or download the audit log",
    response_model=AuditLog,
    responses={
        200: {"headers": {"Content-Disposition": DISPOSITION}, "content": REPRESENTATIONS.content},
        **problem_responses(406, 422),
    },
    dependencies=[requires(Scope.ADMIN)],
)
async def get_audit_log(
    *,
    request: Request,
    response: Response,
    database: Database,
    parameters: Annotated[AuditLogParameters, Query()],
) -> Any:
    """Return what changed something and what was refused, newest first: requests of all tenants, and commands.

    An action's entry is committed with the action. A refusal's follows within seconds. Requests that only read are not
    entered, unless their caller may not make them.

    With `Accept: application/x-ndjson` or `text/csv`: all that match, as they are at one moment, in a file; `limit` and
    `cursor` don't go with that.
    """
    file_format = REPRESENTATIONS.negotiate(request, parameters)
    if file_format is not None:
        entries = partial(whole_audit_log, wanted=parameters.wanted())
        return Download(downloads_of(request), entries, file_format, "audit-log", shown=AuditLogEntry.of)
    listed = await read_audit_log(database, parameters)
    response.headers["Vary"] = "Accept"
    link_next(request, response, listed.next_cursor)
    return listed


async def read_audit_log(database: Engine, parameters: AuditLogParameters) -> AuditLog:
    """Return the requested page of the log. Raises ParametersRejected for an invalid cursor."""
    before = AuditPlace(*(parameters.key(AUDIT_LOG) or ()))
    page = await list_audit_log(database, parameters.wanted(), before=before, limit=parameters.limit)
    cursor = None if page.is_last else encode_key(AUDIT_LOG, before.after(page.facts))
    return AuditLog(items=[AuditLogEntry.of(read) for read in page.facts], next_cursor=cursor)
