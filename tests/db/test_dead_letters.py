"""Dead letters: each open one is a cell that failed for good; one is replayed by itself, once."""

import asyncio

import pytest

from db.dead_letters import DeadLetterFilter, count_dead_letters, list_dead_letters
from db.engine import Connection, Engine
from db.tenants import DEFAULT_TENANT_NO
from domain.errors import JobCancelled, NotFound
from tests.support.access import make_tenant
from tests.support.controls import WHO, Controls, events, exhausted
from tests.support.job_seeds import Seeded, Seeds, completed, failed
from tests.support.outcomes import assert_audit, attempts


@pytest.fixture
async def job(seeds: Seeds) -> Seeded:
    """A job of four cells that are all dead letters, numbered in plan order."""
    job = await seeds.submit(models=["m-a", "m-b"], questions=["One?", "Two?"])
    await seeds.plan()
    await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))
    return job


async def open_letters(engine: Engine) -> list[int]:
    page = await list_dead_letters(engine, before=None, limit=50)
    return [letter.dead_letter_no for letter in page.facts]


async def test_the_event_of_a_flush_counts_them(seeds: Seeds, connection: Connection, job: Seeded) -> None:
    one_try, *_ = [data for kind, data in await events(connection, job.job_no) if kind == "finished"]
    counts = {"status": "completed", "completed": 0, "unknown": 0, "retried": 0}
    assert one_try["batches"] == [{"batch_id": n, **counts, "failed": 2, "dead_letters": 2} for n in (1, 2)]
    other = await seeds.submit(models=["m-c"])
    await seeds.plan()
    await seeds.record(*(failed(batch) for batch in await seeds.claim()))
    *_, (_, rejected) = await events(connection, other.job_no)
    assert rejected["batches"] == [{"batch_id": 1, **counts, "failed": 1, "dead_letters": 0}]


async def test_they_are_listed_newest_first_with_names(engine: Engine, job: Seeded) -> None:
    page = await list_dead_letters(engine, before=4, limit=2)
    assert not page.is_last
    assert [letter.dead_letter_no for letter in page.facts] == [3, 2]
    letter = page.facts[0]
    assert (letter.tenant, letter.job_id, letter.execution_id) == ("default", job.id, f"{job.job_no}-1-0-0")
    assert (letter.model_id, letter.region, letter.question_id) == ("m-b", "us-east", job.spec.questions[0].id)
    assert (letter.attempts, letter.error_code, letter.error_detail) == (1, "busy", "Why.")


async def test_one_is_replayed_alone_and_once(engine: Engine, seeds, controls, connection, job: Seeded) -> None:
    replayed = await controls.replay(2)
    assert (replayed.retried, replayed.untouched, replayed.status) == (1, 0, "running")
    assert await open_letters(engine) == [4, 3, 1]
    assert await connection.fetchval("SELECT replayed_by FROM dead_letters WHERE replayed_at IS NOT NULL") == WHO
    *_, (_, data) = await events(connection, job.job_no)
    assert data["filter"] == {"dead_letter_id": 2, "execution_id": f"{job.job_no}-0-0-1"}
    await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))
    assert await open_letters(engine) == [5, 4, 3, 1]
    again = await controls.replay(2)
    assert (again.retried, again.untouched, again.status) == (0, 1, "failed")
    assert await attempts(connection) == {("failed", 1): 3, ("failed", 2): 1}
    await assert_audit(connection)


async def test_any_retry_of_its_cell_closes_it(engine: Engine, controls: Controls, job: Seeded) -> None:
    await controls.retry_execution(f"{job.job_no}-0-0-0")
    assert await open_letters(engine) == [4, 3, 2]
    await controls.retry(job.id, model="m-b")
    assert await open_letters(engine) == [2]
    await controls.retry(job.id)
    assert await open_letters(engine) == []


async def test_many_presses_at_once_are_one_replay(controls: Controls, connection, job: Seeded) -> None:
    presses = await asyncio.gather(*(controls.replay(1) for _ in range(20)))
    assert sum(press.retried for press in presses) == 1
    assert await connection.fetchval("SELECT max(key_no) FROM executions") == 1
    await assert_audit(connection)


async def test_those_of_a_cancelled_job_are_neither_listed_nor_replayed(
    engine: Engine, seeds, controls, connection
) -> None:
    job = await seeds.submit(questions=["One?", "Two?", "Three?"])
    await seeds.plan()
    first, second = await seeds.claim()
    await seeds.record(exhausted(first))
    assert await count_dead_letters(connection) == len(await open_letters(engine)) == len(first.model_nos)
    await controls.cancel(job.id)
    assert (await count_dead_letters(connection), await open_letters(engine)) == (0, [])
    with pytest.raises(JobCancelled):
        await controls.replay(1)
    await seeds.record(completed(second))
    await assert_audit(connection)


@pytest.mark.parametrize("number", [0, 99, 2**62])
async def test_an_unknown_one_is_not_found(controls: Controls, job: Seeded, number: int) -> None:
    with pytest.raises(NotFound):
        await controls.replay(number)


async def test_those_of_all_tenants_are_one_list_and_can_be_narrowed(engine: Engine, seeds: Seeds, connection) -> None:
    tenants = {"default": DEFAULT_TENANT_NO} | {name: await make_tenant(connection, name) for name in ("acme", "idle")}
    for tenant in ("acme", "default", "acme"):
        await seeds.submit(tenant_no=tenants[tenant])
        await seeds.plan()
        await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))
    found: list[str] = []
    before = None
    for is_last in (False, False, True):
        page = await list_dead_letters(engine, before=before, limit=1)
        [letter] = page.facts
        assert page.is_last == is_last
        found, before = [*found, letter.tenant], letter.dead_letter_no
    assert found == ["acme", "default", "acme"]
    for tenant, numbers in {"acme": [3, 1], "default": [2], "idle": [], "nobody": []}.items():
        page = await list_dead_letters(engine, DeadLetterFilter(tenant=tenant), before=None, limit=50)
        assert [letter.dead_letter_no for letter in page.facts] == numbers, tenant
