"""What goes on, in numbers: a tenant's jobs by state, and the work, processes and ends of the whole installation."""

import re
from functools import partial
from html import unescape
from typing import Any

import httpx2
import pytest

from api.authentication import Authenticator
from db import counters
from db.call_starts import ShownCall, show_calls
from db.counters import increment
from db.engine import in_transaction
from db.throughput import record_throughput
from domain.calls import Cell
from domain.scopes import Scope
from runtime.metrics import DUPLICATES_PREVENTED, EXECUTIONS, IMPORT_ROWS
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.controls import exhausted
from tests.support.job_seeds import WORKER_ID, Seeds
from tests.support.reading_app import replace_services

OPEN = ("queued", "coordinating", "running")
ENDED = ("completed", "partial", "failed", "cancelled")
AGE_JOBS = """
UPDATE jobs
SET created_at = created_at - interval '25 hours', queued_at = queued_at - interval '25 hours',
    started_at = started_at - interval '25 hours', finished_at = finished_at - interval '25 hours'
"""
record = partial(record_throughput, cells=EXECUTIONS.name, rows=IMPORT_ROWS.name)


async def activity(reader: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await reader.get("/queue/activity")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_jobs_are_counted_by_state_without_those_of_others(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    acme = await make_tenant(rows, "acme")
    for tenant_no in (1, acme, acme):
        await seeds.submit(tenant_no=tenant_no)
    await seeds.run_all()
    await seeds.submit(tenant_no=acme)
    await seeds.plan()
    for tenant_no in (1, 1, 1, acme):
        await seeds.submit(tenant_no=tenant_no)
    shown = {}
    for tenant in ("default", "acme"):
        key = AsKey(reader, await make_key(rows, Scope.JOBS_READ, tenant=tenant))
        counts = (await key.get("/overview")).json()
        shown[tenant] = {name: counts[name] for name in (*OPEN, *ENDED, "with_unknown") if counts[name]}
    assert shown == {"default": {"queued": 3, "completed": 1}, "acme": {"queued": 1, "running": 1, "completed": 2}}
    operator = AsKey(reader, await make_key(rows, Scope.OPERATE))
    assert (await operator.get("/overview")).status_code == 403  # a tenant's jobs are no part of `operate`
    assert (await operator.get("/queue/activity")).json()["waiting"]["jobs_queued"] == 4  # of all tenants


async def test_jobs_that_ended_long_ago_are_not_counted(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await seeds.submit()
    await seeds.run_all()
    assert (await reader.get("/overview")).json()["completed"] == 1
    assert len(await _rows_of_card(reader)) == 1
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute(AGE_JOBS)
    assert (await reader.get("/overview")).json()["completed"] == 0
    assert await _rows_of_card(reader) == []


async def _rows_of_card(reader: httpx2.AsyncClient) -> list[Any]:
    """The jobs that the overview's card of completed jobs leads to."""
    [path] = re.findall(r'href="/ui(/jobs\?status=completed[^"]*)"', (await reader.get("/ui")).text)
    return list((await reader.get(unescape(path))).json()["items"])


@pytest.mark.parametrize(
    ("status", "member"), [("completed", "completed"), ("failed", "failed"), ("unknown", "failed")]
)
async def test_what_ended_in_a_minute_is_the_difference_of_two_samples(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, status: str, member: str
) -> None:
    await in_transaction(seeds.engine, record)
    await rows.execute("UPDATE throughput SET minute = minute - interval '1 minute'")
    ends = [
        increment(EXECUTIONS.name, 7, status=status, provider="echo", region="us-east"),
        increment(IMPORT_ROWS.name, 11, result="inserted"),
        increment(DUPLICATES_PREVENTED.name, 3, layer="fence", reason="stale_lease"),
    ]
    await in_transaction(seeds.engine, lambda c: counters.add(c, seeds.worker_no, ends))
    await in_transaction(seeds.engine, record)
    await in_transaction(seeds.engine, record)  # the last sample of a minute stands
    shown = await activity(reader)
    [minute] = shown["throughput"]
    expected = {"completed": 0, "failed": 0, "imported": 11, member: 7}
    assert {name: minute[name] for name in expected} == expected
    assert {"layer": "fence", "count": 3} in shown["duplicates_prevented"]


async def test_samples_are_kept_for_a_day(seeds: Seeds, rows: Any) -> None:
    await in_transaction(seeds.engine, record)
    await rows.execute("UPDATE throughput SET minute = minute - interval '25 hours'")
    await in_transaction(seeds.engine, record)
    assert await rows.fetchval("SELECT count(*) FROM throughput WHERE minute < now() - interval '1 hour'") == 0
    assert await rows.fetchval("SELECT count(*) FROM throughput") == 1


async def test_processes_are_told_apart(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await rows.execute(
        """
        INSERT INTO workers (id, role, pid, host, heartbeat_at, stopped_at, not_served)
        SELECT 'w-' || i.id, 'worker', 1, 'h', now() - i.age * interval '1 second',
            CASE WHEN i.has_ended THEN now() END, i.lacks::json
        FROM (VALUES
            ('alive', 1, false, '[]'), ('silent', 15, false, '[]'), ('lost', 600, false, '[]'),
            ('ended', 600, true, '[]'), ('lost long ago', 7200, false, '[]'),
            ('lacking', 1, false, '[{"name": "providers.x", "reason": "no key"}]')
        ) AS i (id, age, has_ended, lacks)
        """
    )
    processes = (await activity(reader))["processes"]
    alive = await rows.fetchval("SELECT count(*) FROM workers WHERE id = $1", WORKER_ID)
    assert processes["workers"] == alive + 3
    assert (processes["silent"], processes["lost"], processes["lacking"]) == (1, 1, 1)


async def test_dead_letters_and_violations_are_shown(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    await seeds.submit()
    await seeds.run_all()
    await seeds.submit(questions=["What is 3+3?"])
    await seeds.plan()
    await seeds.record(*map(exhausted, await seeds.claim()))
    await rows.execute("UPDATE waves SET total_batches = 9")
    shown = await activity(reader)
    assert shown["dead_letters"] == 1
    assert shown["invariants"]["violations"]["waves_differ"] > 0
    assert shown["invariants"]["violations"]["duplicates"] == 0


async def test_calls_in_flight_are_listed_longest_first(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    acme = await make_tenant(rows, "acme")
    jobs = [await seeds.submit(questions=["a", "b"], tenant_no=tenant_no) for tenant_no in (1, acme)]
    await seeds.plan()
    batches = await seeds.claim()
    assert (await reader.get("/queue/calls")).json() == {"items": []}
    for seconds, batch, question_no in ((5, batches[0], 1), (9, batches[1], 0)):
        started_us = int((batch.claimed_at - seconds) * 1_000_000)
        call = ShownCall(batch, Cell(batch.job_no, 0, 0, question_no), started_us, 0)
        await in_transaction(seeds.engine, lambda c, call=call: show_calls(c, [call]))
    await rows.execute("UPDATE batches SET slots = 1")
    items = (await reader.get("/queue/calls")).json()["items"]
    assert [item["tenant"] for item in items] == ["acme", "default"]
    assert [item["job_id"] for item in items] == [jobs[1].id, jobs[0].id]
    assert {item["worker"] for item in items} == {WORKER_ID}
    assert [item["provider"] for item in items] == ["echo", "echo"]
    assert items[0]["seconds"] >= 9
    cells = (await reader.get(f"/jobs/{jobs[0].id}/executions")).json()["items"]
    [out] = [cell for cell in cells if cell["started_at"]]
    assert items[1]["question_id"] == out["question_id"]
