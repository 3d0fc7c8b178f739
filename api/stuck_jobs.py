"""Why the work of one job is stuck, as `GET /queue` explains it; for readers who may see the whole installation."""

from collections.abc import Sequence

from api.schemas.queue import StuckWork
from api.services import Services
from api.stuck import explain
from db import workers
from db.engine import connect
from db.queue import list_stuck


async def explain_job(services: Services, job_no: int) -> Sequence[StuckWork]:
    """Return what of a job is stuck and among the work that `GET /queue` lists; tenants may have jobs of one id."""
    settings = services.settings
    async with connect(services.engine) as connection:
        stuck = await list_stuck(connection, min_seconds=2 * settings.reconcile_seconds)
        own = [work for work in stuck if work.job_no == job_no]
        if not own:
            return ()
        live = await workers.live(connection, silent_seconds=settings.lease_seconds)
    return [explain(work, live, settings) for work in own]
