"""Pages end with the item by which they have enough bytes; together they hold every item once."""

from typing import Any

import httpx2
import pytest

from db.engine import Engine, for_tenant
from db.events import BEFORE_ALL, read_events_after
from db.reading import PAGE_BYTES
from db.records import PART_BYTES, all_records
from db.tenants import DEFAULT_TENANT_NO
from tests.support.import_steps import ImportSteps, import_keys
from tests.support.job_seeds import Seeds, answer_all

RECORDS = "/datasets/ledger/records?record_type=type-0"


@pytest.fixture
def ledger(engine: Engine) -> ImportSteps:
    return ImportSteps(engine)


async def pages_of(client: httpx2.AsyncClient, url: str) -> list[list[Any]]:
    """The items of each page, followed by their links."""
    pages = []
    if "limit=" not in url:
        url += f"{'&' if '?' in url else '?'}limit=200"
    while True:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        assert bool(answer.json()["next_cursor"]) == ("next" in answer.links)
        pages.append(answer.json()["items"])
        if "next" not in answer.links:
            return pages
        url = answer.links["next"]["url"]


async def answered(seeds: Seeds, rows: Any, *, cells: int, output: int) -> str:
    """The path of a job with so many answers of so many bytes each."""
    job = await seeds.submit(questions=[f"{n}?" for n in range(cells)])
    await seeds.plan()
    await answer_all(rows, job, "é" * (output // 2))
    return f"/jobs/{job.id}/executions"


async def plan_order(rows: Any) -> list[str]:
    """The ids of all cells, of the newest job first."""
    found = await rows.fetch(
        """
        SELECT concat_ws('-', job_no, model_no, region_no, question_no) AS id
        FROM executions
        ORDER BY job_no DESC, region_no, model_no, question_no
        """
    )
    return [row["id"] for row in found]


def counts(pages: list[list[Any]]) -> list[int]:
    return [len(page) for page in pages]


@pytest.mark.parametrize(
    ("cells", "output", "expected"),
    [
        (20, PAGE_BYTES // 8, [8, 8, 4]),
        (16, PAGE_BYTES // 8, [8, 8]),
        (10, PAGE_BYTES // 8 - 10, [9, 1]),
        (9, PAGE_BYTES // 8 - 10, [9]),
        (3, PAGE_BYTES, [1, 1, 1]),
        (2, 2 * PAGE_BYTES, [1, 1]),
        (50, 1000, [50]),
    ],
)
async def test_a_page_of_answers_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, *, cells: int, output: int, expected: list[int]
) -> None:
    pages = await pages_of(reader, await answered(seeds, rows, cells=cells, output=output))
    assert counts(pages) == expected
    assert [item["id"] for page in pages for item in page] == await plan_order(rows)


async def test_a_page_of_filtered_answers_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    path = await answered(seeds, rows, cells=10, output=PAGE_BYTES // 2)
    assert counts(await pages_of(reader, f"{path}?status=completed")) == [2] * 5
    assert counts(await pages_of(reader, f"{path}?status=completed&limit=1")) == [1] * 10


async def test_a_page_of_all_jobs_answers_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    for cells, output in ((1, 10), (3, PAGE_BYTES), (5, PAGE_BYTES // 4), (5, PAGE_BYTES // 4), (2, 10)):
        await answered(seeds, rows, cells=cells, output=output)
    pages = await pages_of(reader, "/executions")
    assert counts(pages) == [2 + 4, 1 + 3, 2 + 1, 1, 1, 1]
    assert [item["id"] for page in pages for item in page] == await plan_order(rows)


async def test_a_page_of_rows_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, ledger: ImportSteps, rows: Any
) -> None:
    keys = [f"{n:02}" for n in range(10)]
    await import_keys(ledger, keys)
    await rows.execute("UPDATE imported_records SET payload = to_json(repeat('x', $1::int))", PAGE_BYTES // 4)
    pages = await pages_of(reader, RECORDS)
    assert counts(pages) == [4, 4, 2]
    assert [item["record_key"] for page in pages for item in page] == keys


EVENTS = """
INSERT INTO events (job_no, event_no, type, at, source, data)
SELECT $1, n, 'progressed', now(), 'a test', json_build_object('batches', repeat('x', $3))
FROM generate_series(1, $2) AS n
"""


async def test_a_page_of_a_jobs_events_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit()
    await rows.execute(EVENTS, job.job_no, 20, PAGE_BYTES // 8)
    pages = await pages_of(reader, f"/jobs/{job.id}/events")
    assert counts(pages) == [8, 8, 4]
    assert [item["id"] for page in pages for item in page] == list(range(1, 21))


@pytest.mark.parametrize("of_tenant", [False, True])
async def test_a_look_at_all_events_ends_when_it_has_enough(
    engine: Engine, seeds: Seeds, rows: Any, *, of_tenant: bool
) -> None:
    await rows.execute(EVENTS, (await seeds.submit()).job_no, 20, PAGE_BYTES // 8)
    reading = for_tenant(engine, DEFAULT_TENANT_NO) if of_tenant else engine
    found, place, has_more = [], BEFORE_ALL, True
    while has_more:
        look = await read_events_after(reading, DEFAULT_TENANT_NO, place, limit=200)
        found.append([event.place.event_no for event in look.events])
        place, has_more = look.place, look.has_more
    assert counts(found) == [8, 8, 4]
    assert [number for look in found for number in look] == list(range(1, 21))


async def test_a_page_of_audits_ends_when_it_has_enough(
    reader: httpx2.AsyncClient, ledger: ImportSteps, rows: Any
) -> None:
    """Each import has 200 record types with names of 800 bytes: 14 of them have 2 MiB."""
    jobs = [await import_keys(ledger, ["a"], dataset=f"ledger-{n}") for n in range(15)]
    await rows.execute(
        """
        WITH named AS (SELECT n, rpad(n::text || '-', 197, '😀') AS id FROM generate_series(1, 199) AS n), sets AS (
            INSERT INTO record_sets (tenant_no, dataset, record_type, key)
            SELECT 1, 'other', id, '{id}' FROM named
            RETURNING record_set_no, record_type
        )
        INSERT INTO record_types (job_no, record_type_no, id, record_set_no, level, rows_expected, is_complete)
        SELECT j, n, id, record_set_no, 1, 0, true
        FROM named JOIN sets ON record_type = id, unnest($1::bigint[]) AS j
        """,
        jobs,
    )
    pages = await pages_of(reader, "/audit")
    assert counts(pages) == [14, 1]
    assert len({item["job_id"] for page in pages for item in page}) == 15
    assert {len(item["record_types"]) for page in pages for item in page} == {200}


async def test_a_page_of_datasets_ends_when_it_has_enough(reader: httpx2.AsyncClient, rows: Any) -> None:
    await rows.execute(
        """
        INSERT INTO record_sets (tenant_no, dataset, record_type, key)
        SELECT 1, dataset, n, '{id}'
        FROM (VALUES ('a', 1500), ('b', 1500), ('c', 2000), ('d', 1), ('e', 1)) AS d (dataset, types),
            generate_series(1, types) AS n
        """
    )
    pages = await pages_of(reader, "/datasets")
    assert [[item["name"] for item in page] for page in pages] == [["a", "b"], ["c"], ["d", "e"]]
    assert [len(item["record_types"]) for page in pages for item in page] == [1500, 1500, 2000, 1, 1]
    assert [len(page) for page in await pages_of(reader, "/datasets?limit=1")] == [1] * 5


async def test_a_download_reads_rows_in_parts(engine: Engine, ledger: ImportSteps, rows: Any) -> None:
    await import_keys(ledger, [f"{n:02}" for n in range(10)])
    await rows.execute("UPDATE imported_records SET payload = to_json(repeat('x', $1::int))", PART_BYTES // 2)
    parts = []
    async with all_records(engine, tenant_no=DEFAULT_TENANT_NO, dataset="ledger", record_type="type-0") as records:
        while part := await records.following():
            parts.append(len(part))
    assert parts == [2] * 5


async def test_a_row_is_shown_as_it_was_imported(reader: httpx2.AsyncClient, ledger: ImportSteps, rows: Any) -> None:
    payload = '{"amount": 1.10, "number": 12345678901234567890123.5, "text": "\\u00e9 \\ud83d\\ude00"}'
    await import_keys(ledger, ["a"])
    await rows.execute("UPDATE imported_records SET payload = $1::json", payload)
    answer = await reader.get(RECORDS)
    assert payload in answer.text
    [item] = answer.json()["items"]
    assert list(item) == ["record_key", "payload", "updated_at", "job_id", "batch_id", "generation"]
    assert item["updated_at"].endswith("Z")
