"""GET /jobs/{id}/audit and GET /audit: the proof that no work ran twice, in the wrong place, or was lost."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, JobId, NoParameters, Tenant
from api.filters import Moment
from api.paging import AUDITS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.audits import Audit, FleetAudit
from db.audit import audit_job, audit_window
from domain.scopes import Scope

router = APIRouter(tags=["audit"], dependencies=ONE_OF_EACH)

WINDOW = timedelta(hours=24)


class AuditParameters(PageParameters):
    """Which jobs are audited: those created in a window."""

    since: Moment | None = Field(default=None, description="From this moment on; 24 hours before `until` unless given.")
    until: Moment | None = Field(default=None, description="Before this moment; now unless given.")


@router.get(
    "/jobs/{job_id}/audit",
    operation_id="get_job_audit",
    summary="Audit a job",
    responses=problem_responses(404, 422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_job_audit(
    job_id: JobId, database: Database, tenant: Tenant, _: Annotated[NoParameters, Query()]
) -> Audit:
    """Recount the job's cells at this moment and compare them with its plan and its kept progress."""
    return Audit.of(*await audit_job(database, tenant, job_id))


@router.get(
    "/audit",
    operation_id="list_audits",
    summary="Audit all jobs of a window",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_audit(
    *,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[AuditParameters, Query()],
) -> FleetAudit:
    """Recount the jobs created in a window, newest first.

    The totals are of the whole window, on every page; of a window with very many cells, of its newest jobs.
    """
    audit = await audit_window(
        database,
        tenant,
        since=parameters.since,
        until=parameters.until,
        window=WINDOW,
        before=parameters.number(AUDITS),
        limit=parameters.limit,
    )
    cursor = next_cursor(AUDITS, audit.page, lambda shown: [shown.audit.job_no])
    link_next(request, response, cursor)
    return FleetAudit.of(audit, cursor)
