"""Each gauge of /metrics has its value before any event, and moves when its event happens."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import httpx2
import pytest

from api.fleet import FleetView
from api.schemas.queue import StuckReason
from api.services import Services
from broker import envelopes
from broker.envelopes import Client, Envelope
from configuration.content import Content
from db.circuit_breakers import Refusal, trip
from db.engine import in_transaction
from db.leadership import RECONCILING, lead
from runtime.config_file import ConfigFile
from runtime.metrics import GAUGES
from tests.support.configurations import commit, content_of
from tests.support.controls import exhausted
from tests.support.job_seeds import Seeds, retried
from tests.support.metrics import Samples, fleet_value, scrape_samples
from tests.support.reading_app import replace_services

POOL = {"provider": "echo", "region": "us-east"}
AN_HOUR = pytest.approx(3600, abs=60)


@dataclass
class House:
    """The means of causing events."""

    reader: httpx2.AsyncClient
    seeds: Seeds
    rows: Any
    redis: Client

    async def planned(self, **body: Any) -> None:
        await self.seeds.submit(**body)
        await self.seeds.plan()

    async def execute(self, statement: str) -> None:
        await self.rows.execute(statement)


Event = Callable[[House], Awaitable[object]]


@dataclass(frozen=True)
class Move:
    """From `before` to `after` (None: absent), when the event happens."""

    event: Event
    after: Any
    labels: Mapping[str, str]
    before: Any = 0


async def enter_pool(house: House) -> None:
    await house.execute("INSERT INTO pools (provider, region, max_concurrent) VALUES ('echo', 'us-east', 4)")


async def refuse_calls(house: House) -> None:
    await enter_pool(house)
    refusal = Refusal("echo", "us-east", "rate_limited", "Later.", 60)
    await in_transaction(house.seeds.engine, lambda connection: trip(connection, [refusal]))


async def wait_an_hour(house: House) -> None:
    await house.seeds.submit()
    await house.execute("UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'")


async def be_due_for_an_hour(house: House) -> None:
    await house.planned()
    await house.execute(
        "UPDATE ready SET queued_at = now() - interval '1 hour', not_before = now() - interval '1 hour'"
    )


async def claim(house: House) -> None:
    await house.planned()
    await house.seeds.claim()


async def call(house: House) -> None:
    await claim(house)
    await house.execute("UPDATE batches SET slots = 3")


async def lose_a_lease(house: House) -> None:
    await claim(house)
    await house.execute("UPDATE batches SET lease_until = now() - interval '1 minute'")


async def fail_for_now(house: House) -> None:
    await house.planned()
    [batch] = await house.seeds.claim()
    await house.seeds.record(retried(batch, due_in_seconds=60))


async def die(house: House) -> None:
    await house.planned(policy={"max_attempts": 1})
    [batch] = await house.seeds.claim()
    await house.seeds.record(exhausted(batch))


async def publish(house: House) -> None:
    await envelopes.publish(house.redis, [Envelope(job=1, source="initial", enqueued_at=time.time())] * 2)


async def publish_and_wait(house: House) -> None:
    fields = {envelopes.FIELD: Envelope(job=1, source="initial", enqueued_at=0).to_bytes()}
    await house.redis.xadd(envelopes.STREAM, fields, id=f"{int((time.time() - 3600) * 1000)}-0")  # type: ignore[arg-type]


async def block_the_stream(house: House) -> None:
    await house.redis.set(envelopes.STREAM, "no stream")


async def fall_silent(house: House) -> None:
    await house.execute("UPDATE workers SET heartbeat_at = now() - interval '10 seconds'")


async def stop_working(house: House) -> None:
    await house.execute("UPDATE workers SET stopped_at = now()")


async def stop_leading(house: House) -> None:
    await lead(house.seeds.engine, RECONCILING, house.seeds.worker_no, lease_seconds=60)
    await house.execute("UPDATE leaders SET worked_at = now() - interval '1 hour'")


async def miscount(house: House) -> None:
    await house.seeds.submit()
    await house.seeds.run_all()
    await house.execute("UPDATE waves SET total_batches = 9")


async def ask_another_question(house: House) -> None:
    await commit(house.seeds.engine, Content(ConfigFile(questions={"q": "Why?"}), is_simulated=True))


async def name_a_provider(house: House) -> None:
    await commit(house.seeds.engine, content_of({"providers": {"hybrid": {"type": "echo"}}}))


async def catch_up(house: House) -> None:
    await house.execute("UPDATE workers SET configuration_no = (SELECT max(configuration_no) FROM configurations)")


async def nothing(_: House) -> None:
    """The values from the start."""


MOVES = {
    "breakwater_jobs": Move(lambda house: house.seeds.submit(), 1, {"status": "queued"}),
    "breakwater_oldest_queued_job_seconds": Move(wait_an_hour, AN_HOUR, {}),
    "breakwater_batches_due": Move(lambda house: house.planned(), 1, POOL, before=None),
    "breakwater_oldest_due_batch_seconds": Move(be_due_for_an_hour, AN_HOUR, POOL, before=None),
    "breakwater_batches_waiting": Move(fail_for_now, 1, {}),
    "breakwater_batches_running": Move(claim, 1, {}),
    "breakwater_leases_expired": Move(lose_a_lease, 1, {}),
    "breakwater_cells_running": Move(lambda house: house.execute("UPDATE workers SET running = 7"), 7, {}),
    "breakwater_calls_in_flight": Move(call, 3, POOL, before=None),
    "breakwater_calls_limit": Move(enter_pool, 4, POOL, before=None),
    "breakwater_gate_closed": Move(refuse_calls, 1, POOL, before=None),
    "breakwater_region_paused": Move(
        lambda house: house.reader.post("/regions/us-east/pause"), 1, {"region": "us-east"}, before=None
    ),
    "breakwater_provider_paused": Move(
        lambda house: house.reader.post("/providers/echo/pause"), 1, {"provider": "echo"}, before=None
    ),
    "breakwater_stuck": Move(be_due_for_an_hour, 1, {"reason": "workers_busy"}),
    "breakwater_dead_letters": Move(die, 1, {}),
    "breakwater_queue_depth": Move(publish, 2, {}),
    "breakwater_queue_oldest_age_seconds": Move(publish_and_wait, AN_HOUR, {}),
    "breakwater_store_available": Move(nothing, 1, {"store": "postgresql"}, before=1),
    "breakwater_broker_writable": Move(block_the_stream, 0, {}, before=1),
    "breakwater_workers_alive": Move(stop_working, 0, {}, before=1),
    "breakwater_worker_heartbeat_age_seconds": Move(
        fall_silent, pytest.approx(10, abs=8), {"worker": "w-seeds"}, before=pytest.approx(0, abs=8)
    ),
    "breakwater_leader_idle_seconds": Move(stop_leading, AN_HOUR, {}, before=None),
    "breakwater_invariant_violations": Move(miscount, 1, {"invariant": "waves_differ"}),
    "breakwater_configuration_number": Move(ask_another_question, 2, {}, before=1),
    "breakwater_configuration_differs": Move(
        lambda house: house.execute("UPDATE workers SET config_file = 'differs'"), 1, {"role": "worker"}
    ),
    "breakwater_configuration_behind": Move(catch_up, 0, {"role": "worker"}, before=1),
    "breakwater_not_served": Move(
        lambda house: house.execute("""UPDATE workers SET not_served = '[{"name": "a", "reason": "b"}]'"""),
        1,
        {"role": "worker"},
    ),
    "breakwater_simulating": Move(name_a_provider, 0, {}, before=1),
    "breakwater_build_info": Move(nothing, 1, {"version": "9.9.9"}, before=1),
}


@pytest.fixture
def house(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, redis_client: Client) -> House:
    return House(reader, seeds, rows, redis_client)


EMPTY = """
SET session_replication_role = replica;
DELETE FROM jobs; DELETE FROM specs; DELETE FROM waves; DELETE FROM batches; DELETE FROM ready; DELETE FROM executions;
DELETE FROM dead_letters; DELETE FROM leaders; DELETE FROM pools; DELETE FROM pauses;
UPDATE workers
SET heartbeat_at = now(), stopped_at = NULL, running = 0, config_file = 'none', configuration_no = NULL,
    not_served = '[]';
SET session_replication_role = DEFAULT;
"""


async def test_each_gauge_moves_when_its_event_happens(
    house: House, monkeypatch: Any, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr("api.fleet.AUDIT_SECONDS", 0)
    for gauge in GAUGES:
        with subtests.test(gauge.name):
            await house.execute(EMPTY)
            await house.redis.flushall()
            move = MOVES[gauge.name]
            assert fleet_value(await scrape_samples(house.reader), gauge.name, **move.labels) == move.before
            await move.event(house)
            assert fleet_value(await scrape_samples(house.reader), gauge.name, **move.labels) == move.after


def by_label(samples: Samples, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: count for (found, labels), count in samples.items() if found == name}


async def test_jobs_are_counted_by_status(house: House) -> None:
    await house.planned()
    await house.seeds.claim()
    await house.seeds.submit()
    await house.seeds.submit()
    await house.rows.execute(
        """
        WITH held AS (
            INSERT INTO jobs (tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate, status, started_at)
            VALUES (1, 'held', 'import', 'n', 'h', 0, 0, 1, 'coordinating', now())
            RETURNING job_no
        )
        INSERT INTO imports (job_no, fence) SELECT job_no, 1 FROM held
        """
    )
    samples = await scrape_samples(house.reader)
    assert by_label(samples, "breakwater_jobs", "status") == {"queued": 2, "coordinating": 1, "running": 1}
    assert fleet_value(samples, "breakwater_queue_depth") == 0


async def test_an_import_that_waits_for_its_source_makes_no_old_queue(house: House) -> None:
    await wait_an_hour(house)
    await house.execute(
        "INSERT INTO imports (job_no, fence, not_before) SELECT job_no, 1, now() + interval '1 hour' FROM jobs"
    )
    samples = await scrape_samples(house.reader)
    assert fleet_value(samples, "breakwater_oldest_queued_job_seconds") == 0
    assert fleet_value(samples, "breakwater_jobs", status="queued") == 1


async def test_every_reason_of_stuck_work_is_there_before_it_happens(house: House) -> None:
    assert by_label(await scrape_samples(house.reader), "breakwater_stuck", "reason") == dict.fromkeys(
        get_args(StuckReason), 0
    )


async def test_an_answer_of_another_identity_than_the_jobs_is_a_violated_invariant(
    house: House, monkeypatch: Any
) -> None:
    monkeypatch.setattr("api.fleet.AUDIT_SECONDS", 0)
    await house.seeds.submit()
    await house.seeds.run_all()
    assert (
        fleet_value(
            await scrape_samples(house.reader), "breakwater_invariant_violations", invariant="config_mismatches"
        )
        == 0
    )
    await house.execute(
        "SET session_replication_role = replica; UPDATE executions SET identity_no = identity_no + 1;"
        " SET session_replication_role = DEFAULT"
    )
    assert (
        fleet_value(
            await scrape_samples(house.reader), "breakwater_invariant_violations", invariant="config_mismatches"
        )
        == 1
    )


async def test_a_lost_lease_shows_beside_many_that_wait_longer(house: House) -> None:
    await lose_a_lease(house)
    for _ in range(60):
        await house.seeds.submit()
    await house.execute(
        "UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'"
        " WHERE status = 'queued'"
    )
    stuck = by_label(await scrape_samples(house.reader), "breakwater_stuck", "reason")
    assert (stuck["lease_expired"], stuck["workers_busy"]) == (1, 50)


async def test_an_unavailable_store_shows_as_such(house: House) -> None:
    absent = envelopes.connect("redis://127.0.0.1:1/0")
    services: Services = house.reader.app.state.services  # type: ignore[attr-defined]
    fleet = FleetView(services.engine, absent, services.settings, version="9.9.9")
    replace_services(house.reader, redis=absent, fleet=fleet)
    samples = await scrape_samples(house.reader)
    assert by_label(samples, "breakwater_store_available", "store") == {"postgresql": 1, "redis": 0}
    assert fleet_value(samples, "breakwater_workers_alive") == 1
    await absent.aclose()
