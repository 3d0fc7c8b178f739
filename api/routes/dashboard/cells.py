"""The pages of a job's cells: those in a state, and a single one with its question, answer and tries."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Allowed, Database, JobId, PageDatabase, ServicesDep, Tenant
from api.filters import NameFilter
from api.page_views import JOBS, next_address, page, read_filters
from api.paging import PageParameters
from api.routes.executions import ExecutionListParameters, look_at_executions, wanted_cells
from api.schemas.executions import ExecutionWithAttempts
from db.executions import FIRST, absent_execution, list_executions, read_execution
from db.jobs import read_job
from domain.redaction import redacted
from domain.scopes import Scope
from domain.status import ExecutionStatus

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)


class CellParameters(PageParameters):
    """Which cell of the job is shown."""

    model: NameFilter
    region: NameFilter
    question: NameFilter


@router.get(JOBS + "/{job_id}/cells", dependencies=[requires(Scope.RESULTS_READ)])
async def show_cells(
    *, job_id: JobId, request: Request, services: ServicesDep, database: PageDatabase, tenant: Tenant, registry: Allowed
) -> Response:
    """Return the cells that match the filters in the address, in plan order."""
    parameters = read_filters(request, ExecutionListParameters)
    async with services.large_pages.place(tenant):
        found = await look_at_executions(database, tenant, job_id, wanted_cells(parameters, registry), parameters)
    return page(
        request,
        "cells.html",
        job_id=job_id,
        found=found,
        filters=parameters,
        states=list(ExecutionStatus),
        next_page=next_address(request, found.next_cursor),
    )


@router.get(JOBS + "/{job_id}/cell", dependencies=[requires(Scope.RESULTS_READ)])
async def show_cell(
    *,
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    database: Database,
    pages: PageDatabase,
    tenant: Tenant,
    registry: Allowed,
) -> Response:
    """Return a cell, or say that it isn't planned yet. Raises NotFound for one that isn't of the job."""
    parameters = read_filters(request, CellParameters)
    job = await read_job(database, tenant, job_id)
    named = parameters.model_dump(include={"model", "region", "question"})
    wanted = wanted_cells(ExecutionListParameters(**named), registry)
    async with services.large_pages.place(tenant):
        found = await list_executions(pages, tenant, job_id, wanted, after=FIRST, limit=1)
        if not found.facts and job.started_at is not None:
            raise absent_execution()
        cell = None
        if found.facts:
            cell = ExecutionWithAttempts.with_attempts(*await read_execution(pages, tenant, found.facts[0].id))
        text = _question(job.spec or {}, parameters.question)
        return page(request, "cell.html", job_id=job_id, cell=cell, asked_for=parameters, text=text)


def _question(spec: Any, question_id: str) -> str | None:
    """Return the text of a question without secrets; None once the spec is purged."""
    texts = (each.get("text") for each in spec.get("questions", ()) if each["id"] == question_id)
    shown: str | None = redacted(next(texts, None))
    return shown
