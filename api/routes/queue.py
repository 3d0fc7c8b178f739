"""GET /queue: waiting, running and stuck work, and the workers."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api import broker_state
from api.access import requires
from api.dependencies import ONE_OF_EACH, Broker, Database, NoParameters, ServicesDep
from api.problems import problem_responses
from api.schemas.activity import Activity
from api.schemas.queue import CallInFlight, CallList, EventReading, Leader, LostProcess, Queue, Worker
from api.stuck import explain
from db import queue as db
from db import workers
from db.calls_in_flight import list_calls
from db.engine import connect
from db.events import find_event_holder
from db.leadership import RECONCILING, read_leader
from domain.scopes import Scope

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)


@router.get(
    "/queue",
    operation_id="get_queue",
    summary="Show the queue",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_queue(
    *,
    services: ServicesDep,
    database: Database,
    broker: Broker,
    _: Annotated[NoParameters, Query()],
) -> Queue:
    """Return the queue of this moment, over all tenants.

    PostgreSQL tells what is owed; the stream's facts are null without Redis.
    """
    settings = services.settings
    stream, checked = await asyncio.gather(broker_state.look(broker), broker_state.check(broker))
    async with connect(database) as connection:
        counts = await db.read_queue(connection)
        stuck = await db.list_stuck(connection, min_seconds=2 * settings.reconcile_seconds)
        live = await workers.live(connection, silent_seconds=settings.lease_seconds)
        leader = await read_leader(connection, RECONCILING)
        apis = await workers.live(connection, silent_seconds=settings.lease_seconds, role="api")
        lost = await workers.lost(connection, silent_seconds=settings.lease_seconds)
        event_holder = await find_event_holder(connection)
    return Queue(
        broker=checked.state.value,
        broker_detail=checked.detail,
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
        stuck=[explain(job, live, settings) for job in stuck],
        events=EventReading.of(event_holder),
        leader=Leader.model_validate(leader, from_attributes=True) if leader else None,
        workers=[Worker.of(worker) for worker in live],
        apis=[Worker.of(api) for api in apis],
        lost=[LostProcess.model_validate(process) for process in lost],
        checked_at=counts.checked_at,
    )


@router.get(
    "/queue/activity",
    operation_id="get_queue_activity",
    summary="Show what goes on",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_activity(services: ServicesDep, _: Annotated[NoParameters, Query()]) -> Activity:
    """Return what waits, runs, ended and needs attention, over all tenants, as of a second ago at most.

    However much there is, it stays cheap: each count is bounded.
    """
    return await services.activity.look()


@router.get(
    "/queue/calls",
    operation_id="list_calls",
    summary="List calls in flight",
    responses=problem_responses(422),
    dependencies=[requires(Scope.OPERATE)],
)
async def get_calls(database: Database, _: Annotated[NoParameters, Query()]) -> CallList:
    """Return the calls that workers have in flight, of all tenants: since when, of which cell, at which provider."""
    async with connect(database) as connection:
        return CallList(items=[CallInFlight.of(call) for call in await list_calls(connection)])
