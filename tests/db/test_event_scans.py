"""A reader of one tenant's events passes over those of others: each scan is bounded, and the next goes on behind it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from db.engine import Connection, Engine, for_tenant, statement
from db.events import BEFORE_ALL, SCANNED_EVENTS, EventPlace, EventsRead, read_events_after
from db.reading import PAGE_BYTES
from db.tenants import DEFAULT_TENANT_NO
from tests.support.jobs import job_body, store_jobs

FOREIGN_JOBS = 200
FOREIGN_EVENTS = 60
"""Of each foreign job."""
LIMIT = 50
WRITE_FOREIGN = """
INSERT INTO events (job_no, event_no, type, at, source, data)
SELECT j, $2 + n, 'progressed', now(), 'a test', '{}'
FROM generate_series(1, $3) AS n, unnest($1::bigint[]) AS j
ORDER BY n, j
"""


@pytest.fixture(autouse=True)
def looks_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look ends after a first full scan, as if that had taken all of its time."""
    monkeypatch.setattr("db.events.SCAN_SECONDS", 0)


@pytest.fixture
async def own_job(connection: Connection) -> int:
    """A job with an event before, amid and after 12,000 of another tenant's."""
    [own] = await store_jobs(connection, [job_body()])
    await connection.execute("INSERT INTO tenants (tenant_no, name) VALUES (2, 'another')")
    foreign = await store_jobs(connection, [job_body()] * FOREIGN_JOBS, tenant_no=2)
    for number in range(3):
        await connection.execute("SELECT write_event($1, $2, 'progressed', 'a test', '{}')", own, number + 1)
        if number < 2:
            half = FOREIGN_EVENTS // 2
            await connection.execute(WRITE_FOREIGN, foreign, number * half, half)
    await connection.execute("ANALYZE jobs, events")
    return own


@pytest.fixture
async def from_before_positions(connection: Connection, own_job: int) -> int:
    """The same job, and all events from before positions were drawn; but one event of each job has one."""
    await connection.execute("UPDATE events SET position = NULL WHERE event_no <> 3")
    last = await connection.fetchval("SELECT max(job_no) FROM jobs")
    await connection.execute(
        f"CREATE OR REPLACE FUNCTION last_job_before_positions() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN {last}"
    )
    return own_job


async def read_all(engine: Engine) -> list[EventsRead]:
    """Look until there is no more."""
    place, looks = BEFORE_ALL, []
    while not looks or looks[-1].has_more:
        looks.append(await read_events_after(engine, DEFAULT_TENANT_NO, place, limit=LIMIT))
        assert looks[-1].place > place
        place = looks[-1].place
        assert not place.position or place[1:] == (0, 0)  # no numbers of another tenant's event
    return looks


def numbers(looks: Sequence[EventsRead]) -> list[tuple[int, int]]:
    return [event.place[1:] for look in looks for event in look.events]


async def test_each_look_passes_over_a_bounded_number_of_others_and_moves_on(engine: Engine, own_job: int) -> None:
    looks = await read_all(engine)
    assert numbers(looks) == [(own_job, number) for number in (1, 2, 3)]
    at_least = FOREIGN_JOBS * FOREIGN_EVENTS / (SCANNED_EVENTS + LIMIT)
    assert at_least <= len(looks) <= at_least + 2
    again = await read_events_after(engine, DEFAULT_TENANT_NO, looks[-1].place, limit=LIMIT)
    assert again == EventsRead([], looks[-1].place, has_more=False)


async def test_events_from_before_positions_are_passed_over_alike(engine: Engine, from_before_positions: int) -> None:
    looks = await read_all(engine)
    assert numbers(looks) == [(from_before_positions, number) for number in (1, 2, 3)]
    assert len(looks) > FOREIGN_JOBS * FOREIGN_EVENTS / (SCANNED_EVENTS + LIMIT)


async def test_in_a_tenants_own_transactions_the_looks_are_the_same(engine: Engine, own_job: int) -> None:
    looks = await read_all(engine)
    assert await read_all(for_tenant(engine, DEFAULT_TENANT_NO)) == looks
    assert {number for number, _ in numbers(looks)} == {own_job}


async def test_so_are_those_at_events_from_before_positions(engine: Engine, from_before_positions: int) -> None:
    looks = await read_all(engine)
    assert await read_all(for_tenant(engine, DEFAULT_TENANT_NO)) == looks
    assert {number for number, _ in numbers(looks)} == {from_before_positions}


PLANS = pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])


@PLANS
async def test_a_look_reads_no_more_rows_than_it_may_pass_over(
    connection: Connection, own_job: int, plans: str
) -> None:
    for place in await places(connection, own_job):
        read = await rows_read(connection, place, plans)
        assert read["events"] == SCANNED_EVENTS
        assert read["jobs"] <= SCANNED_EVENTS
    assert await rows_read(connection, place, plans, scanned=1) == {"events": 1, "jobs": 1}


@PLANS
async def test_a_look_at_events_from_before_positions_reads_no_more_either(
    connection: Connection, from_before_positions: int, plans: str
) -> None:
    read = await rows_read(connection, EventPlace(0, from_before_positions, 3), plans)
    assert read["jobs"] <= SCANNED_EVENTS
    assert SCANNED_EVENTS <= read["events"] <= 2 * SCANNED_EVENTS


async def places(connection: Connection, own_job: int) -> tuple[EventPlace, EventPlace]:
    """The places of the first event of the job, with others behind it, and of that before its second one."""
    first, second = await connection.fetch("SELECT position FROM events WHERE job_no = $1 ORDER BY 1 LIMIT 2", own_job)
    return EventPlace(first["position"], own_job, 1), EventPlace(second["position"] - 1, own_job, 1)


async def rows_read(
    connection: Connection, place: EventPlace, plans: str, *, scanned: int = SCANNED_EVENTS
) -> dict[str, float]:
    """How many rows of each table a look at what comes after a place reads, those that it drops among them."""
    [readable] = await connection.fetch(statement("find_readable_events"))
    await connection.execute(f"SET plan_cache_mode = {plans}; SET jit = off")
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('read_events')}",
        DEFAULT_TENANT_NO,
        *place,
        readable["position"],
        LIMIT,
        scanned,
        PAGE_BYTES,
    )
    read = {"events": 0.0, "jobs": 0.0}
    for node in nodes(explained[0]["Plan"]):
        if (table := node.get("Relation Name")) is not None:
            assert node["Node Type"] == "Index Scan", node
            found = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read[table] += round(found * node["Actual Loops"])
    return read


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)
