"""Timelines say what holds their jobs, and nobody who pauses writes them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest

from db import circuit_breakers, job_holds
from db.circuit_breakers import Refusal
from db.engine import Connection, in_transaction
from tests.support.configurations import commit, content_of
from tests.support.job_seeds import WORKER_ID, Seeds, completed
from worker.hold_reports import HoldReports

Rows = "asyncpg.Connection[asyncpg.Record]"
BOTH = {"regions": ["us-east", "eu-west"], "policy": {"on_paused": "wait"}}
ONE = {"regions": ["us-east"], "policy": {"on_paused": "wait"}}
HELD = ("held", "released")


class Leader:
    """Reports as the leading worker does, and counts its transactions."""

    def __init__(self, seeds: Seeds) -> None:
        self._engine = seeds.engine
        self._reports = HoldReports(WORKER_ID)
        self.transactions = 0

    async def report(self) -> None:
        """Report of all open jobs, or of as many pages as a period has."""
        await self._reports.report(self._run)

    async def _run(self, unit: Callable[[Connection], Awaitable[Any]]) -> Any:
        self.transactions += 1
        return await in_transaction(self._engine, unit)


@pytest.fixture
def leader(seeds: Seeds) -> Leader:
    return Leader(seeds)


async def timeline(reader: httpx2.AsyncClient, job: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of holds: type and data, without the time."""
    items = (await reader.get(f"/jobs/{job.id}/events", params={"limit": 200})).json()["items"]
    assert [item["id"] for item in items] == list(range(1, len(items) + 1))
    found = [item for item in items if item["type"] in HELD]
    assert {item["source"] for item in found} <= {WORKER_ID}
    return [(item["type"], {k: v for k, v in item["data"].items() if k != "since"}) for item in found]


async def close_breaker(seeds: Seeds, rows: Rows, *, seconds: float) -> None:
    await rows.execute("INSERT INTO pools (provider, region) VALUES ('echo', 'us-east') ON CONFLICT DO NOTHING")
    refusal = Refusal("echo", "us-east", "rate_limited", "Slow down.", seconds)
    await in_transaction(seeds.engine, lambda connection: circuit_breakers.trip(connection, [refusal]))


@pytest.mark.parametrize("is_planned", [False, True])
@pytest.mark.parametrize(
    ("path", "reason", "named"),
    [
        ("/regions/us-east", "region_paused", {"region": "us-east"}),
        ("/providers/echo", "provider_paused", {"provider": "echo"}),
    ],
)
async def test_a_pause_and_its_end_are_in_the_timeline_once(
    *, reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, path: str, reason: str, named: Any, is_planned: bool
) -> None:
    job = await seeds.submit(**ONE)
    if is_planned:
        await seeds.plan()
    await reader.post(f"{path}/pause", json={"reason": "maintenance"})
    for _ in range(2):
        await leader.report()
    assert await timeline(reader, job) == [("held", {"reason": reason, **named, "holds_all": True})]
    await reader.post(f"{path}/resume")
    for _ in range(2):
        await leader.report()
    assert (await timeline(reader, job))[1:] == [("released", {"reason": reason, **named})]


async def test_a_hold_says_whether_any_work_may_start(reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader) -> None:
    both, other = await seeds.submit(**BOTH), await seeds.submit(questions=["Other?"], regions=["asia-pacific"])
    for region in ("us-east", "eu-west"):
        await reader.post(f"/regions/{region}/pause")
        await leader.report()
    assert [(data["region"], data["holds_all"]) for _, data in await timeline(reader, both)] == [
        ("us-east", False),
        ("eu-west", True),
    ]
    assert await timeline(reader, other) == []


async def test_since_is_when_the_hold_began_for_the_job(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader
) -> None:
    before = await seeds.submit(**ONE)
    await reader.post("/regions/us-east/pause")
    after = await seeds.submit(questions=["After?"], **ONE)
    await leader.report()
    since = {}
    for job in (before, after):
        [event] = (await reader.get(f"/jobs/{job.id}/events")).json()["items"]
        since[job.id] = event["data"]["since"]
        shown = (await reader.get(f"/jobs/{job.id}")).json()
        assert since[job.id][:23] == shown["held"]["since"][:23]
    assert since[before.id] < since[after.id]


async def test_a_circuit_breaker_that_is_probed_holds_until_it_is_closed(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, rows: Rows
) -> None:
    job = await seeds.submit(**ONE)
    await close_breaker(seeds, rows, seconds=60)
    await leader.report()
    held = ("held", {"reason": "gate_closed", "provider": "echo", "region": "us-east", "code": "rate_limited"})
    assert await timeline(reader, job) == [(held[0], {**held[1], "holds_all": True})]
    await rows.execute("UPDATE pools SET gate_until = now() - interval '1 second' WHERE gate_until IS NOT NULL")
    later = await seeds.submit(questions=["Later?"], **ONE)
    await leader.report()
    assert len(await timeline(reader, job)) == 1
    assert await timeline(reader, later) == []  # it may be the probe
    await in_transaction(seeds.engine, lambda c: circuit_breakers.reset_probed(c, [("echo", "us-east")]))
    await leader.report()
    assert (await timeline(reader, job))[1][0] == "released"


async def test_a_job_whose_provider_is_configured_no_more_says_so(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader
) -> None:
    job = await seeds.submit(**ONE)
    await leader.report()
    await commit(
        seeds.engine,
        content_of({"providers": {"p": {"type": "openai", "base_urls": {"us-east": "http://127.0.0.1:9/v1"}}}}),
    )
    await leader.report()
    assert await timeline(reader, job) == [("held", {"reason": "configuration_changed", "holds_all": True})]


async def test_a_job_that_has_ended_gets_no_event_and_its_holds_are_forgotten(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, rows: Rows
) -> None:
    job = await seeds.submit(**ONE)
    await seeds.plan()
    [batch] = await seeds.claim()
    await reader.post("/regions/us-east/pause")
    await leader.report()
    await seeds.record(completed(batch))
    await reader.post("/regions/us-east/resume")
    await leader.report()
    assert [kind for kind, _ in await timeline(reader, job)] == ["held"]
    assert (await reader.get(f"/jobs/{job.id}/events")).json()["items"][-1]["type"] == "finished"
    assert await rows.fetchval("SELECT count(*) FROM job_holds") == 0


async def test_a_locked_job_keeps_no_report_waiting_and_gets_its_own_later(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, database_url: str
) -> None:
    locked, free = await seeds.submit(**ONE), await seeds.submit(questions=["Free?"], **ONE)
    await reader.post("/regions/us-east/pause")
    holder = await asyncpg.connect(database_url)
    async with asyncio.timeout(10), holder.transaction():
        await holder.execute("SELECT FROM jobs WHERE job_no = $1 FOR NO KEY UPDATE", locked.job_no)
        await leader.report()
    await holder.close()
    assert [len(await timeline(reader, job)) for job in (locked, free)] == [0, 1]
    await leader.report()
    assert [len(await timeline(reader, job)) for job in (locked, free)] == [1, 1]


async def test_a_pause_of_many_jobs_is_reported_in_pages_and_costs_nothing_after_it(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_holds, "PAGE", 2)
    monkeypatch.setattr("worker.hold_reports.PAGES", 3)
    for n in range(9):
        await seeds.submit(questions=[f"{n}?"], **ONE)
    written = "SELECT count(*) FROM events WHERE type = 'held'"
    await reader.post("/regions/us-east/pause")
    assert await rows.fetchval(written) == 0
    for count in (6, 9, 9):
        await leader.report()
        assert await rows.fetchval(written) == count
    await reader.post("/regions/us-east/resume")
    while await rows.fetchval("SELECT count(*) FROM job_holds"):
        await leader.report()
    assert await rows.fetchval("SELECT count(*) FROM events WHERE type = 'released'") == 9
    for _ in range(2):
        await leader.report()
    before = leader.transactions
    await leader.report()
    assert leader.transactions == before + 1


async def test_numbers_have_no_gap_while_reports_race_with_flushes_and_submissions(
    reader: httpx2.AsyncClient, seeds: Seeds, leader: Leader, rows: Rows
) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(regions=["us-east", "eu-west"], questions=[f"{n}?" for n in range(30)])

    async def pause_and_resume() -> None:
        for change in ("pause", "resume") * 10:
            await reader.post(f"/regions/eu-west/{change}")
            await leader.report()

    await asyncio.gather(seeds.run_all(), pause_and_resume())
    await seeds.run_all()
    kinds = [kind for kind, _ in await timeline(reader, job)]
    assert kinds == ["held", "released"] * (len(kinds) // 2)
    items = (await reader.get(f"/jobs/{job.id}/events", params={"limit": 200})).json()["items"]
    assert items[-1]["type"] == "finished"
    positions = "SELECT position FROM events ORDER BY event_no"
    found = [row["position"] for row in await rows.fetch(positions)]
    assert found == sorted(found)
