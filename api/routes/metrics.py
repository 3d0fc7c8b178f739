"""GET /metrics: this process's HTTP series, and the fleet's series from PostgreSQL and Redis, if they answer."""

from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_fastapi_instrumentator import Instrumentator

from api.access import requires
from api.dependencies import ONE_OF_EACH, NoParameters, ServicesDep
from api.exposition import render
from api.problems import problem_responses
from domain.key_limits import ACTIVE_JOBS, CELLS_PER_DAY, REQUESTS_PER_SECOND
from domain.scopes import Scope

router = APIRouter(tags=["health"], dependencies=ONE_OF_EACH)

UNCOUNTED = ["^/metrics$", "^/static"]


def install(app: FastAPI) -> None:
    """Count the app's requests by route template, and those that a limit refused.

    Call it while the app is composed, before `errors.install`.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Instrumentator(
        should_group_status_codes=False,
        should_group_untemplated=True,
        should_exclude_streaming_duration=True,  # a stream of events may last for days
        excluded_handlers=UNCOUNTED,
        registry=registry,
    ).instrument(app)
    app.state.http_registry = registry
    app.state.requests_limited = Counter(
        "http_requests_limited",
        "Requests refused since a limit of their API key or tenant was reached.",
        ["limit"],
        registry=registry,
    )
    for limit in (REQUESTS_PER_SECOND, ACTIVE_JOBS, CELLS_PER_DAY):  # a rate doesn't see the step from nothing to 1
        app.state.requests_limited.labels(limit)


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Show the metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses(422)},
    dependencies=[requires(Scope.METRICS)],
)
async def metrics(request: Request, services: ServicesDep, _: Annotated[NoParameters, Query()]) -> Response:
    """Return every series in the Prometheus text format."""
    fleet = await services.fleet.look()
    return Response(generate_latest(request.app.state.http_registry) + render(fleet), media_type=CONTENT_TYPE_LATEST)
