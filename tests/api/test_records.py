"""Imported rows by pages and as files, whatever their keys and the names of their datasets are."""

from collections.abc import Sequence
from dataclasses import replace

import httpx2
import orjson
import pytest

from db.engine import Engine
from db.importing import ReadRow
from tests.imports import Imports, plan_of, read
from tests.seeding import every_item

ODD_KEYS = ("", "\x01", "\x01" * 500, "a", "a\x01", "b", "é", "\U0010ffff")


@pytest.fixture
def ledger(engine: Engine) -> Imports:
    return Imports(engine)


async def import_keys(ledger: Imports, keys: Sequence[str], *, dataset: str = "ledger") -> int:
    """Import rows with these keys as `type-0` of a dataset; return the key of the job."""
    job_no = await ledger.coordinate(replace(plan_of([1], rows=len(keys)), dataset=dataset))
    ((batch, given),) = await ledger.claim()
    rows = [ReadRow(key, orjson.dumps({"n": n}).decode(), n) for n, key in enumerate(keys)]
    await ledger.record(replace(read(batch, given), records=rows))
    return job_no


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_every_row_is_on_one_page_whatever_its_key(
    reader: httpx2.AsyncClient, ledger: Imports, limit: int
) -> None:
    await import_keys(ledger, ODD_KEYS)
    found = await every_item(reader, "/datasets/ledger/records?record_type=type-0", limit=limit)
    assert [one["record_key"] for one in found] == list(ODD_KEYS)


async def test_a_row_whose_key_is_the_empty_text_is_downloaded_too(
    reader: httpx2.AsyncClient, ledger: Imports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.records.PAGE_RECORDS", 2)
    await import_keys(ledger, ODD_KEYS)
    answer = await reader.get("/datasets/ledger/records?record_type=type-0", headers={"Accept": "application/x-ndjson"})
    assert [orjson.loads(line)["record_key"] for line in answer.text.split("\n")[:-1]] == list(ODD_KEYS)
