"""Imported rows by pages and as files, with any keys and names of datasets."""

import csv
import io
from dataclasses import replace

import httpx2
import orjson
import pytest

from db.engine import Engine, connect
from db.import_reports import RejectedRow
from tests.support.import_steps import ImportSteps, import_keys, plan_of, read
from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item

ODD_KEYS = ("", "\x01", "\x01" * 500, "a", "a\x01", "b", "é", "\U0010ffff")


@pytest.fixture
def ledger(engine: Engine) -> ImportSteps:
    return ImportSteps(engine)


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_every_row_is_on_one_page_with_any_key(
    reader: httpx2.AsyncClient, ledger: ImportSteps, limit: int
) -> None:
    await import_keys(ledger, ODD_KEYS)
    found = await every_item(reader, "/datasets/ledger/records?record_type=type-0", limit=limit)
    assert [item["record_key"] for item in found] == list(ODD_KEYS)


async def test_a_row_whose_key_is_the_empty_text_is_downloaded_too(
    reader: httpx2.AsyncClient, ledger: ImportSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.records.PAGE_RECORDS", 2)
    await import_keys(ledger, ODD_KEYS)
    answer = await reader.get("/datasets/ledger/records?record_type=type-0", headers={"Accept": "application/x-ndjson"})
    assert [orjson.loads(line)["record_key"] for line in answer.text.split("\n")[:-1]] == list(ODD_KEYS)


# Rejects


async def import_rejects(ledger: ImportSteps) -> str:
    """The path of the rejects of an import of two record types, with two reasons each."""
    job_no = await ledger.coordinate(plan_of([2, 1]))
    for batch, given in await ledger.claim():
        first = given.range["first"]
        rejected = [
            RejectedRow(first, "=1", "duplicate_key", "Its key came before."),
            RejectedRow(first + 1, None, "key_missing", "It has no key."),
        ]
        await ledger.record(replace(read(batch, given, rows=0), rows_read=2, rejected=rejected))
    async with connect(ledger.engine) as connection:
        return f"/jobs/{await connection.fetchval('SELECT id FROM jobs WHERE job_no = $1', job_no)}/rejects"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [(1, 0), (1, 1), (2, 3), (2, 4), (3, 0), (3, 1)]),
        ("record_type=type-0", [(1, 0), (1, 1), (2, 3), (2, 4)]),
        ("code=key_missing", [(1, 1), (2, 4), (3, 1)]),
        ("record_type=type-1&code=duplicate_key", [(3, 0)]),
        ("code=nothing", []),
    ],
)
async def test_rejects_are_narrowed_by_record_type_and_code_on_pages_and_in_files(
    reader: httpx2.AsyncClient, ledger: ImportSteps, monkeypatch: pytest.MonkeyPatch, query: str, expected: object
) -> None:
    monkeypatch.setattr("db.rejects.PAGE_REJECTS", 2)
    path = f"{await import_rejects(ledger)}?{query}"
    items = await every_item(reader, path, limit=1)
    assert [(int(item["batch_id"]), item["position"]) for item in items] == expected
    ndjson = await reader.get(path, headers={"Accept": "application/x-ndjson"})
    assert [orjson.loads(line) for line in ndjson.text.splitlines()] == items
    records = csv.DictReader(io.StringIO((await reader.get(path, headers={"Accept": "text/csv"})).text, newline=""))
    shown = [{name: "" if value is None else str(value) for name, value in item.items()} for item in items]
    assert [{**record, "record_key": record["record_key"].removeprefix("'")} for record in records] == shown


async def test_a_file_of_rejects_has_a_name_and_no_pages(reader: httpx2.AsyncClient, ledger: ImportSteps) -> None:
    path = await import_rejects(ledger)
    file = await reader.get(path, headers={"Accept": "text/csv"})
    assert file.headers["Content-Disposition"].endswith('-rejects.csv"')
    assert file.text.startswith("batch_id,record_type,position,record_key,code,detail\r\n1,type-0,0,'=1,")
    for query, accept, problem in (
        ("", "image/png", (406, "not_acceptable")),
        ("?limit=1", "text/csv", (422, "not_with_downloads")),
        ("?code=", "*/*", (422, "invalid_parameter")),
        ("?reason=x", "*/*", (422, "unknown_parameter")),
    ):
        answer = await reader.get(path + query, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == problem
    absent = await reader.get("/jobs/nothing/rejects", headers={"Accept": "text/csv"})
    assert absent.status_code == 404


async def test_an_import_links_its_rejects(reader: httpx2.AsyncClient, ledger: ImportSteps, seeds: Seeds) -> None:
    path = await import_rejects(ledger)
    (listed,) = (await reader.get("/jobs", params={"kind": "import"})).json()["items"]
    shown = (await reader.get(path.removesuffix("/rejects"))).json()
    assert listed["links"]["rejects"] == shown["links"]["rejects"] == path
    assert "rejects" not in (await reader.get(f"/jobs/{(await seeds.submit()).id}")).json()["links"]
