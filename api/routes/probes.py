"""GET /livez, /readyz and /healthz: whether the process is alive and ready, and its versions.

It is ready if PostgreSQL answers, its schema is served, this process's last heartbeat was committed, and with API keys
the database's roles are as they should be. Without a writable Redis jobs are accepted and run later: the service is
degraded.
"""

import platform
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import sees_installation
from api.broker_state import Checked
from api.dependencies import ONE_OF_EACH, NoParameters, ServicesDep
from api.problems import problem_response, problem_responses
from api.readiness import DatabaseState, Stores
from api.request_ids import request_id_of
from api.schemas.health import Alive, BrokerCheck, DatabaseCheck, Healthy, Ready, Versions
from api.services import Services
from api.turns import probe_turn
from db.schema import brought_revision

router = APIRouter(tags=["health"], dependencies=[probe_turn, *ONE_OF_EACH])

RETRY_SECONDS = 1
_OTHER_SCHEMA = "The database has another schema. Run `breakwater migrate`, or start a later release."


@router.get("/livez", operation_id="get_liveness", summary="Is the process alive?", responses=problem_responses())
async def livez(_: Annotated[NoParameters, Query()]) -> Alive:
    """Answer without asking a store."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Can it serve?",
    response_model=Ready,
    responses=problem_responses(422),
)
async def readyz(*, request: Request, services: ServicesDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Answer 200 if PostgreSQL commits and its schema serves this version; `degraded` unless Redis takes writes.

    PostgreSQL is looked at once a second at most, for all that ask.
    """
    stores = await services.readiness.look()
    if (problem := await _unready(request, services, stores.database)) is not None:
        return problem
    return _ready(stores, is_whole=await sees_installation(request))


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="How is it?",
    response_model=Healthy,
    responses=problem_responses(422),
)
async def healthz(*, request: Request, services: ServicesDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Answer as /readyz does, with the versions of everything involved."""
    stores = await services.readiness.look()
    if (problem := await _unready(request, services, stores.database)) is not None:
        return problem
    is_whole = await sees_installation(request)
    versions = _versions(request.app.version, stores) if is_whole else Versions()
    return Healthy(**_ready(stores, is_whole=is_whole).model_dump(), versions=versions)


def _versions(own: str, stores: Stores) -> Versions:
    return Versions(
        breakwater=own,
        python=platform.python_version(),
        postgresql=stores.database.version if stores.database else None,
        broker=stores.broker.version,
        schema_revision=brought_revision(),
    )


def _ready(stores: Stores, *, is_whole: bool) -> Ready:
    revision = stores.database.schema.revision if stores.database and is_whole else None
    checked = _checked(stores.broker)
    return Ready(
        status="degraded" if stores.broker.fault else "ready",
        database=DatabaseCheck(status="ok", schema_revision=revision),
        broker=checked if is_whole else checked.model_copy(update={"detail": None}),
        age_seconds=round(stores.age_seconds, 3),
    )


def _checked(broker: Checked) -> BrokerCheck:
    if broker.fault is None:
        return BrokerCheck()
    found = {"status": broker.fault.state.value, "code": broker.fault.code, "detail": broker.fault.detail}
    return BrokerCheck.model_validate(found)


async def _unready(request: Request, services: Services, state: DatabaseState | None) -> Response | None:
    """Return the problem for which requests can't be served, or None. Revisions and reasons are the installation's."""
    if state is None:
        return _problem(request, "database_unavailable", "The database can't be reached.")
    if mismatch := state.schema.mismatch:
        if not await sees_installation(request):
            return _problem(request, "schema_differs", _OTHER_SCHEMA)
        detail = f"The database can't be used: {mismatch}"
        return _problem(request, "schema_differs", detail, expected=brought_revision(), found=state.schema.revision)
    if (unwritten := services.registration.unwritten) is not None:
        reason = f" {unwritten}" if await sees_installation(request) else ""
        return _problem(request, "database_not_writable", f"The database takes no writes.{reason}")
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
