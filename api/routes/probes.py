"""GET /livez, /readyz and /healthz: whether the process is alive and ready, and its versions.

It is ready if PostgreSQL answers, its schema is served, this process's last heartbeat was committed, and with API keys
the database's roles are as they should be. Without a writable Redis jobs are accepted and run later: the service is
degraded.
"""

import asyncio
import platform
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import broker_state
from api.broker_state import Checked
from api.dependencies import ONE_OF_EACH, Broker, NoParameters, ServiceDatabase, ServicesDep
from api.problems import problem_response, problem_responses
from api.request_ids import request_id_of
from api.schemas.health import Alive, BrokerCheck, DatabaseCheck, Healthy, Ready, Versions
from api.services import Services
from db.engine import UNAVAILABLE, Engine, connect
from db.schema import Schema, brought_revision, read_schema

router = APIRouter(tags=["health"], dependencies=ONE_OF_EACH)

DEADLINE_SECONDS = 2.0
RETRY_SECONDS = 1


class DatabaseState(NamedTuple):
    """The version and the schema of PostgreSQL."""

    version: str
    schema: Schema


@router.get("/livez", summary="Is the process alive?", responses=problem_responses())
async def livez(_: Annotated[NoParameters, Query()]) -> Alive:
    """Answer without asking a store."""
    return Alive()


@router.get("/readyz", summary="Can it serve?", response_model=Ready, responses=problem_responses(422))
async def readyz(
    *,
    request: Request,
    services: ServicesDep,
    database: ServiceDatabase,
    broker: Broker,
    _: Annotated[NoParameters, Query()],
) -> Any:
    """Answer 200 if PostgreSQL commits and its schema serves this version; `degraded` unless Redis takes writes."""
    state, checked = await asyncio.gather(_look(database), broker_state.check(broker))
    if (problem := _unready(request, services, state)) or state is None:
        return problem
    return _ready(state, checked)


@router.get("/healthz", summary="How is it?", response_model=Healthy, responses=problem_responses(422))
async def healthz(
    *,
    request: Request,
    services: ServicesDep,
    database: ServiceDatabase,
    broker: Broker,
    _: Annotated[NoParameters, Query()],
) -> Any:
    """Answer as /readyz does, with the versions of everything involved."""
    state, checked = await asyncio.gather(_look(database), broker_state.check(broker))
    if (problem := _unready(request, services, state)) or state is None:
        return problem
    versions = Versions(
        breakwater=request.app.version,
        python=platform.python_version(),
        postgresql=state.version,
        broker=checked.version,
        schema_revision=brought_revision(),
    )
    return Healthy(**_ready(state, checked).model_dump(), versions=versions)


async def _look(database: Engine) -> DatabaseState | None:
    """Return the state of PostgreSQL, or None while it is unavailable."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), connect(database) as connection:
            version: str = await connection.fetchval("SHOW server_version")
            return DatabaseState(version, await read_schema(connection))
    except UNAVAILABLE:
        return None


def _ready(state: DatabaseState, broker: Checked) -> Ready:
    return Ready(
        status="degraded" if broker.fault else "ready",
        database=DatabaseCheck(status="ok", schema_revision=state.schema.revision or ""),
        broker=_checked(broker),
    )


def _checked(broker: Checked) -> BrokerCheck:
    if broker.fault is None:
        return BrokerCheck()
    found = {"status": broker.fault.state.value, "code": broker.fault.code, "detail": broker.fault.detail}
    return BrokerCheck.model_validate(found)


def _unready(request: Request, services: Services, state: DatabaseState | None) -> Response | None:
    """Return the problem for which requests can't be served, or None."""
    if state is None:
        return _problem(request, "database_unavailable", "The database can't be reached.")
    if mismatch := state.schema.mismatch:
        detail = f"The database can't be used: {mismatch}"
        return _problem(request, "schema_differs", detail, expected=brought_revision(), found=state.schema.revision)
    if (unwritten := services.registration.unwritten) is not None:
        return _problem(request, "database_not_writable", f"The database takes no writes. {unwritten}")
    if services.role_check is not None and services.role_check.faults:
        code = "roles_changed" if services.role_check.leaks else "rights_missing"
        return _problem(
            request, code, "The database's roles or rights aren't as they should be; the log says what to mend."
        )
    return None


def _problem(request: Request, code: str, detail: str, **members: object) -> Response:
    return problem_response(
        request_id=request_id_of(request.scope),
        status=503,
        title="Not ready",
        detail=detail,
        code=code,
        members=members,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
