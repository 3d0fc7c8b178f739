"""When the records of a set from before are renamed to the spelling that equal keys share, and when not yet."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from db.import_plans import ImportPlan
from domain.key_forms import KeyForm
from tests.support.import_order import FILE, batch_of_rows, claimed_by_job, complete, generations, payloads, retry
from tests.support.import_steps import ImportSteps, failed, import_steps, plan_of


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


def numeric() -> ImportPlan:
    """A plan of one batch, whose key is a decimal number."""
    plan = plan_of([1])
    return replace(
        plan, record_types=[replace(record_type, key_forms=[KeyForm.DIGITS]) for record_type in plan.record_types]
    )


async def planned(ledger: ImportSteps) -> int:
    job_no = await ledger.submit(FILE)
    coordination = await ledger.begin(job_no)
    assert coordination is not None
    await ledger.write(coordination, numeric())
    return job_no


async def from_before(ledger: ImportSteps, connection, **payload_by_key: str) -> None:
    await complete(ledger, **payload_by_key)
    await connection.execute("UPDATE record_sets SET keys_by_value = false")


async def test_keys_stay_as_they_are_while_an_import_that_writes_them_so_is_open(ledger, connection) -> None:
    await from_before(ledger, connection, **{"1.0": "[0]", "2.50": "[0]"})
    await connection.execute("UPDATE record_sets SET keys_by_value = true")  # so that the next plan renames nothing
    older = await planned(ledger)
    await connection.execute("UPDATE record_sets SET keys_by_value = false")
    newer = await planned(ledger)
    claimed = await claimed_by_job(ledger)
    assert not any(claimed[job_no][0][1].keys_by_value for job_no in (older, newer))
    await ledger.record(batch_of_rows(claimed[newer][0], **{"1.0": "[2]", "2.50": "[2]"}))
    await ledger.record(batch_of_rows(claimed[older][0], **{"1.0": "[1]", "2.50": "[1]"}))
    assert await payloads(connection) == {"1.0": "[2]", "2.50": "[2]"}
    last = await planned(ledger)
    assert await payloads(connection) == {"1": "[2]", "2.5": "[2]"}
    assert await generations(connection) == {"1": 3, "2.5": 3}
    [claim] = (await claimed_by_job(ledger))[last]
    assert claim[1].keys_by_value


async def test_an_import_that_failed_before_its_keys_were_renamed_is_retried_by_their_values(
    ledger, connection
) -> None:
    await from_before(ledger, connection, **{"1.0": "[0]", "1.00": "[9]"})
    await connection.execute("UPDATE record_sets SET keys_by_value = true")
    older = await planned(ledger)
    await connection.execute("UPDATE record_sets SET keys_by_value = false")
    [first] = (await claimed_by_job(ledger))[older]
    assert not first[1].keys_by_value
    await ledger.record(failed(*first))
    newer = await planned(ledger)
    assert list(await payloads(connection)) == ["1"]
    await retry(ledger, older)
    claimed = await claimed_by_job(ledger)
    assert all(claimed[job_no][0][1].keys_by_value for job_no in (older, newer))
    await ledger.record(batch_of_rows(claimed[newer][0], **{"1": "[2]"}))
    await ledger.record(batch_of_rows(claimed[older][0], **{"1": "[1]"}))
    assert await payloads(connection) == {"1": "[2]"}
