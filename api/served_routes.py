"""The routes that the API serves."""

from fastapi import FastAPI

from api.routes import (
    audit,
    audit_log,
    bulk_actions,
    coordination,
    datasets,
    dead_letters,
    events,
    executions,
    grids,
    job_actions,
    job_counts,
    jobs,
    keys,
    limits,
    metrics,
    operations,
    pages,
    probes,
    problems,
    providers,
    questions,
    queue,
    records,
    regions,
    rejects,
    sessions,
    sign_in,
    single_sign_on,
    tenants,
    waves,
    workers,
)
from api.routes.dashboard import PAGES

ROUTES = (
    jobs,
    job_counts,
    executions,
    grids,
    waves,
    coordination,
    events,
    audit,
    audit_log,
    bulk_actions,
    job_actions,
    datasets,
    dead_letters,
    regions,
    providers,
    questions,
    operations,
    queue,
    workers,
    records,
    rejects,
    tenants,
    keys,
    sessions,
    limits,
    probes,
    metrics,
    pages,
    problems,
    sign_in,
    single_sign_on,
    *PAGES,
)


def add_routes(app: FastAPI) -> None:
    """Let the app serve every route.

    They are taken as they are. `include_router` would build each of them again for the app, which took 70 ms of CPU at
    the first request (2026-11-30), and look for the route of each request in two steps.
    """
    for routes in ROUTES:
        app.router.routes.extend(routes.router.routes)
