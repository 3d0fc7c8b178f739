"""An older import never overwrites a newer one, in any order, at any moment, and after any retry."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from db import import_results, retrying
from db.kinds import RetryFilter
from db.tenants import DEFAULT_TENANT_NO
from domain.errors import DatasetChanging, ImportSuperseded
from tests.support.import_order import (
    ACTOR,
    FILE,
    TABLE,
    batch_of_rows,
    claimed_by_job,
    complete,
    counts,
    generations,
    payloads,
    planned,
    retry,
    spec,
    status,
    transaction_held_open,
    two_claimed,
    wait_for_blocked,
)
from tests.support.import_steps import ImportSteps, failed, import_steps, plan_of


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


# Writing


async def test_an_older_import_never_writes_over_a_newer_one(ledger, connection) -> None:
    older, newer = await two_claimed(ledger)
    await ledger.record(batch_of_rows(newer, a="[2]", b="[2]"))
    await ledger.record(batch_of_rows(older, a="[1]", b="[2]", c="[1]"))
    assert await payloads(connection) == {"a": "[2]", "b": "[2]", "c": "[1]"}
    assert await generations(connection) == {"a": 2, "b": 2, "c": 1}
    assert await counts(connection, older[0].job_no) == (3, 1, 0, 1, 1)
    assert await counts(connection, newer[0].job_no) == (2, 2, 0, 0, 0)


@pytest.mark.parametrize("is_known", [False, True])
async def test_rows_that_a_newer_import_finds_equal_are_safe_from_an_older_one(
    ledger, connection, *, is_known: bool
) -> None:
    before = await complete(ledger, same="[0]", back="[0]")
    older, newer = await two_claimed(ledger)
    await ledger.record(batch_of_rows(newer, same="[0]", back="[0]"), is_known=is_known)
    assert await counts(connection, newer[0].job_no) == (2, 0, 0, 2, 0)
    await ledger.record(batch_of_rows(older, same="[0]", back="[1]"), is_known=is_known)
    assert await payloads(connection) == {"back": "[0]", "same": "[0]"}
    assert await generations(connection) == {"back": 3, "same": 3}
    assert await counts(connection, older[0].job_no) == (2, 0, 0, 1, 1)
    writers = await connection.fetch("SELECT DISTINCT job_no FROM imported_records")
    assert [row["job_no"] for row in writers] == [before]  # an equal row keeps who wrote it


async def test_an_import_that_is_alone_rewrites_no_equal_row(ledger, connection) -> None:
    await complete(ledger, a="[1]", b="[1]")
    versions = await connection.fetch("SELECT ctid::text, xmin::text FROM imported_records ORDER BY record_key")
    await complete(ledger, a="[1]", b="[1]")
    assert await connection.fetch("SELECT ctid::text, xmin::text FROM imported_records ORDER BY record_key") == versions
    assert await generations(connection) == {"a": 1, "b": 1}


async def test_of_three_imports_the_newest_wins_in_any_order_of_writing(ledger, connection) -> None:
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    values = {"changed": "abc", "back": "aba", "last": "aab", "first": "abb", "same": "aaa"}
    for order in orders:
        jobs = [await planned(ledger) for _ in range(3)]
        claimed = await claimed_by_job(ledger)
        for n in order:
            rows = {key: f'["{value[n]}"]' for key, value in values.items()}
            await ledger.record(batch_of_rows(claimed[jobs[n]][0], **rows))
        assert await payloads(connection) == {key: f'["{values[key][2]}"]' for key in sorted(values)}, order
        for job_no in jobs:
            read, *rest = await counts(connection, job_no)
            assert read == sum(rest) == len(values)


@pytest.mark.parametrize("is_known", [False, True])
async def test_an_older_update_that_a_newer_import_waits_for_is_written_over(
    ledger, connection, *, is_known: bool
) -> None:
    """The newer one found the row equal to its own, and the older one's change was not committed yet."""
    await complete(ledger, k="[0]")
    older, newer = await two_claimed(ledger)
    task, may_commit = await transaction_held_open(
        ledger, lambda c: import_results.record(c, [batch_of_rows(older, k="[1]")], source="a test")
    )
    writing = asyncio.create_task(ledger.record(batch_of_rows(newer, k="[0]"), is_known=is_known))
    await wait_for_blocked(connection)
    may_commit.set()
    await asyncio.gather(task, writing)
    assert await payloads(connection) == {"k": "[0]"}
    assert await generations(connection) == {"k": 3}
    assert await counts(connection, newer[0].job_no) == (1, 0, 1, 0, 0)


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("payload", ["[0]", "[2]"])
async def test_an_older_update_that_waits_for_a_newer_import_is_superseded(
    ledger, connection, payload: str, *, is_known: bool
) -> None:
    """The newer one changes the row, or only takes it over as equal."""
    await complete(ledger, k="[0]", other="[0]")
    older, newer = await two_claimed(ledger)
    task, may_commit = await transaction_held_open(
        ledger, lambda c: import_results.record(c, [batch_of_rows(newer, k=payload)], source="a test")
    )
    writing = asyncio.create_task(ledger.record(batch_of_rows(older, k="[1]", other="[1]"), is_known=is_known))
    await wait_for_blocked(connection)
    may_commit.set()
    await asyncio.gather(task, writing)
    assert await payloads(connection) == {"k": payload, "other": "[1]"}
    assert await counts(connection, older[0].job_no) == (2, 0, 1, 0, 1)


@pytest.mark.parametrize("is_older_first", [False, True])
async def test_of_two_imports_that_bring_a_new_row_at_once_the_newer_ones_stays(
    ledger, connection, *, is_older_first: bool
) -> None:
    older, newer = await two_claimed(ledger)
    reports = {"older": batch_of_rows(older, k="[1]"), "newer": batch_of_rows(newer, k="[2]")}
    first = reports.pop("older" if is_older_first else "newer")
    [second] = reports.values()
    task, may_commit = await transaction_held_open(ledger, lambda c: import_results.record(c, [first], source="a test"))
    writing = asyncio.create_task(ledger.record(second))
    await wait_for_blocked(connection)
    may_commit.set()
    await asyncio.gather(task, writing)
    assert await payloads(connection) == {"k": "[2]"}


async def test_a_row_that_the_newer_import_rejected_is_the_older_ones(ledger, connection) -> None:
    older, newer = await two_claimed(ledger)
    await ledger.record(batch_of_rows(newer, a="[2]"))
    await ledger.record(batch_of_rows(older, a="[1]", rejected="[1]"))
    assert await payloads(connection) == {"a": "[2]", "rejected": "[1]"}


async def test_rows_from_before_imports_were_numbered_are_older_than_any_import(ledger, connection) -> None:
    await complete(ledger, a="[0]", b="[0]")
    await connection.execute("UPDATE imported_records SET generation = 0")
    await connection.execute("UPDATE record_types SET generation = 0")
    await connection.execute("UPDATE record_sets SET generation = 0, completed_generation = 0, open_generation = 0")
    await complete(ledger, a="[1]", b="[0]")
    assert await payloads(connection) == {"a": "[1]", "b": "[0]"}
    assert await generations(connection) == {"a": 1, "b": 0}


# Retries


async def test_an_import_that_is_older_than_a_completed_one_is_not_retried(ledger, connection) -> None:
    older, newer = await two_claimed(ledger)
    await ledger.record(failed(*older))
    await ledger.record(batch_of_rows(newer, k="[2]"))
    newer_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", newer[0].job_no)
    with pytest.raises(ImportSuperseded) as raised:
        await retry(ledger, older[0].job_no)
    assert raised.value.members == {"record_type": "type-0", "superseded_by": newer_id}
    assert "on_duplicate: create" in raised.value.detail
    assert await status(connection, older[0].job_no) == "failed"


async def test_an_older_import_is_retried_where_the_newer_one_failed_and_writes_nothing_over_it(
    ledger, connection
) -> None:
    """What the newer one found equal while the older one lay failed is safe too."""
    await complete(ledger, same="[0]", new="[0]")
    older = await planned(ledger)
    [first] = (await claimed_by_job(ledger))[older]
    await ledger.record(failed(*first))
    newer = await planned(ledger, batches=2)
    claim, other = (await claimed_by_job(ledger))[newer]
    await ledger.record(batch_of_rows(claim, same="[0]", new="[2]"))
    await ledger.record(failed(*other))
    assert (await retry(ledger, older)).retried == 1
    [again] = (await claimed_by_job(ledger))[older]
    await ledger.record(batch_of_rows(again, same="[1]", new="[1]", left="[1]"))
    assert await payloads(connection) == {"left": "[1]", "new": "[2]", "same": "[0]"}
    assert await counts(connection, older) == (3, 1, 0, 0, 2)
    assert await status(connection, older) == "completed"
    assert (await retry(ledger, newer)).retried == 1


async def test_a_failed_import_makes_the_next_one_claim_equal_rows_and_those_after_it_rewrite_none(
    ledger, connection
) -> None:
    await complete(ledger, k="[0]")
    gone = await planned(ledger)
    [claim] = (await claimed_by_job(ledger))[gone]
    await ledger.record(failed(*claim))
    await complete(ledger, k="[0]")
    assert await generations(connection) == {"k": 3}
    await complete(ledger, k="[0]")
    assert await generations(connection) == {"k": 3}


async def test_a_retry_and_the_end_of_a_newer_import_follow_each_other(ledger, connection) -> None:
    """The retry is first: the import after that knows that an older one is at work again."""
    await complete(ledger, k="[0]")
    older = await planned(ledger)
    [first] = (await claimed_by_job(ledger))[older]
    await ledger.record(failed(*first))
    newer = await planned(ledger)
    newest = await planned(ledger)
    claimed = await claimed_by_job(ledger)
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", older)
    task, may_commit = await transaction_held_open(
        ledger, lambda c: retrying.retry_job(c, DEFAULT_TENANT_NO, job_id, RetryFilter(), ACTOR)
    )
    ending = asyncio.create_task(ledger.record(batch_of_rows(claimed[newer][0], other="[2]")))
    await wait_for_blocked(connection)
    may_commit.set()
    await asyncio.gather(task, ending)
    await ledger.record(batch_of_rows(claimed[newest][0], k="[0]"))
    [again] = (await claimed_by_job(ledger))[older]
    await ledger.record(batch_of_rows(again, k="[1]"))
    assert await payloads(connection) == {"k": "[0]", "other": "[2]"}


async def test_a_retry_that_waits_for_the_end_of_a_newer_import_is_refused(ledger, connection) -> None:
    older, newer = await two_claimed(ledger)
    await ledger.record(failed(*older))
    task, may_commit = await transaction_held_open(
        ledger, lambda c: import_results.record(c, [batch_of_rows(newer, k="[2]")], source="a test")
    )
    retrying_ = asyncio.create_task(retry(ledger, older[0].job_no))
    await wait_for_blocked(connection)
    may_commit.set()
    await task
    with pytest.raises(ImportSuperseded):
        await retrying_


async def test_an_import_of_two_record_types_is_retried_unless_its_unwritten_rows_are_superseded(
    ledger, connection
) -> None:
    job_no = await ledger.submit(spec("type-0", "type-1"))
    await ledger.write(await ledger.begin(job_no), plan_of([1], [1]))
    await ledger.record(batch_of_rows((await claimed_by_job(ledger))[job_no][0], a="[1]"))
    await ledger.record(failed(*(await claimed_by_job(ledger))[job_no][0]))
    await complete(ledger, a="[2]")  # of type-0, which the older one has written
    assert (await retry(ledger, job_no)).retried == 1
    await ledger.record(failed(*(await claimed_by_job(ledger))[job_no][0]))
    both = await ledger.submit(spec("type-0", "type-1"))
    await ledger.write(await ledger.begin(both), plan_of([1, 1]))
    await ledger.run_all()
    with pytest.raises(ImportSuperseded):
        await retry(ledger, job_no)


async def test_an_import_without_a_snapshot_is_not_retried_beside_another_import(ledger, connection) -> None:
    older = await planned(ledger, TABLE)
    [claim] = (await claimed_by_job(ledger))[older]
    await ledger.record(failed(*claim))
    newer = await planned(ledger, FILE)
    with pytest.raises(DatasetChanging):
        await retry(ledger, older)
    [other] = (await claimed_by_job(ledger))[newer]
    await ledger.record(failed(*other))
    coordination = await ledger.begin(await ledger.submit(FILE))
    with pytest.raises(DatasetChanging):
        await retry(ledger, older)
    await ledger.fail(coordination, "source_unreadable", "It is gone.")
    assert (await retry(ledger, older)).retried == 1


async def test_takeovers_write_as_the_same_import(ledger, connection) -> None:
    older, newer = await planned(ledger), await planned(ledger)
    lost = {claim[0].job_no: claim for claim in await ledger.claim(lease_seconds=0)}
    await connection.execute(
        """
        INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
        SELECT job_no, batch_no, provider, region, identity_no, 1, 1, 0 FROM batches
        """
    )
    again = {claim[0].job_no: claim for claim in await ledger.claim()}
    await ledger.record(batch_of_rows(again[newer], k="[2]"))
    recorded = await ledger.record(batch_of_rows(lost[older], k="[1]"))
    assert len(recorded.stale) == 1
    await ledger.record(batch_of_rows(again[older], k="[1]"))
    assert await payloads(connection) == {"k": "[2]"}


async def test_an_empty_import_counts_as_the_newest_that_completed(ledger, connection) -> None:
    older = await planned(ledger)
    [claim] = (await claimed_by_job(ledger))[older]
    await ledger.record(failed(*claim))
    job_no = await ledger.submit(FILE)
    await ledger.write(await ledger.begin(job_no), plan_of([0]))
    assert await status(connection, job_no) == "completed"
    with pytest.raises(ImportSuperseded):
        await retry(ledger, older)
