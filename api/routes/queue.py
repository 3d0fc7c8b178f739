"""GET /queue: what waits, what runs, what is stuck and why, and who works."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Request

from api import broker_state
from api.dependencies import ONE_OF_EACH, Broker, Database, NoParameters, Tenant
from api.problems import problem_responses
from api.schemas.queue import Queue, StuckWork, Worker
from db import queue as db
from db import workers
from db.engine import connect
from runtime.settings import Settings

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)


class Finding(NamedTuple):
    """Why work is stuck, in words, and what happens next."""

    reason: Literal["no_worker", "workers_silent", "workers_busy", "lease_expired"]
    detail: str
    next: str


@router.get("/queue", summary="Show the queue", responses=problem_responses(422))
async def get_queue(
    *, request: Request, database: Database, broker: Broker, tenant: Tenant, _: Annotated[NoParameters, Query()]
) -> Queue:
    """Return the queue of this moment. PostgreSQL tells what is owed; the stream's facts are null without Redis."""
    settings: Settings = request.app.state.settings
    stream = await broker_state.look(broker)
    async with connect(database) as connection:
        counts = await db.read_queue(connection)
        stuck = await db.list_stuck(connection, tenant, min_seconds=2 * settings.reconcile_seconds)
        live = await workers.live(connection, silent_seconds=settings.lease_seconds)
    return Queue(
        broker="available" if stream else "unavailable",
        depth=stream.depth if stream else None,
        undelivered=stream.undelivered if stream else None,
        lag=stream.undelivered if stream else None,
        oldest_age_seconds=stream.oldest_age_seconds if stream else None,
        jobs_queued=counts.jobs_queued,
        batches_due=counts.batches_due,
        batches_waiting=counts.batches_waiting,
        batches_running=counts.batches_running,
        leases_expired=counts.leases_expired,
        oldest_owed_seconds=counts.oldest_owed_seconds,
        stuck=[_stuck(one, live, settings) for one in stuck],
        workers=[Worker.model_validate(worker) for worker in live],
        checked_at=counts.checked_at,
    )


def _stuck(work: db.StuckWork, live: Sequence[dict[str, Any]], settings: Settings) -> StuckWork:
    return StuckWork(
        job_id=work.job_id,
        batch_id=None if work.batch_no is None else str(work.batch_no),
        provider=work.provider,
        region=work.region,
        seconds=max(0.0, work.seconds),
        **_finding(work, live, settings)._asdict(),
    )


def _finding(work: db.StuckWork, live: Sequence[dict[str, Any]], settings: Settings) -> Finding:
    if work.finding == "lease_expired":
        detail = f"The worker that held it stopped renewing its lease ({work.lost_leases} lost in a row before)."
        then = (
            f"It is offered again within {settings.reconcile_seconds:g} s; whoever claims it fences the old holder off."
        )
        return Finding("lease_expired", detail, then if live else f"{then} No worker is alive: start one.")
    if not live:
        return Finding(
            "no_worker",
            f"No worker gave a sign of life within {settings.lease_seconds:g} s.",
            "Start a worker; it takes everything that waits.",
        )
    heard_seconds_ago = min(worker["heartbeat_age_seconds"] for worker in live)
    if heard_seconds_ago > 2 * settings.heartbeat_seconds:
        return Finding(
            "workers_silent",
            f"No worker gave a sign of life for {heard_seconds_ago:.0f} s; one is due every"
            f" {settings.heartbeat_seconds:g} s.",
            f"Look at the workers, or start one: past {settings.lease_seconds:g} s of silence they count as gone.",
        )
    return Finding(
        "workers_busy",
        "Every worker has as much in hand as it takes, or hasn't heard of it.",
        f"It is taken by turns once there is room; unheard work is announced every {settings.reconcile_seconds:g} s.",
    )
