"""Every filter of jobs, alone and with every other, finds what a second reading of the stored specs and rows finds."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest

from db import jobs
from db.engine import Connection
from tests.support.controls import end_unknown
from tests.support.job_seeds import Seeds, completed, failed
from tests.support.reading_app import every_item

JOBS = 40
REPETITIONS = 2
STATES = ("queued", "running", "completed", "partial", "failed", "cancelled")
STORED = """
SELECT j.job_no, j.id, j.kind, j.status, j.created_at, j.finished_at, j.spec_hash, j.error_code, j.failed, s.spec,
    ARRAY(SELECT e.error_code FROM executions AS e WHERE e.job_no = j.job_no AND e.error_code IS NOT NULL) AS cells
FROM jobs AS j
JOIN specs AS s USING (job_no)
ORDER BY j.job_no DESC
"""


@dataclass(frozen=True)
class Stored:
    """A job as its rows say it, and its normalized spec."""

    row: Mapping[str, Any]
    spec: Mapping[str, Any]

    def has_error(self, code: str) -> bool:
        own, cells = self.row["error_code"], self.row["cells"] if self.row["failed"] else []
        missed = self.row["status"] == "failed" and own is None and self.row["failed"] > 0
        return code == own or code in cells or (code == "success_rate_missed" and missed)


MATCHES: Mapping[str, Callable[[Stored, str], bool]] = {
    "status": lambda job, value: job.row["status"] in value.split(","),
    "kind": lambda job, value: job.row["kind"] == value,
    "name": lambda job, value: job.spec["name"] == value,
    "name_prefix": lambda job, value: job.spec["name"][: len(value)] == value,
    "spec_hash": lambda job, value: job.row["spec_hash"] == value,
    "error_code": lambda job, value: job.has_error(value),
    "model": lambda job, value: value in [each if isinstance(each, str) else each["id"] for each in job.spec["models"]],
    "region": lambda job, value: value in job.spec["regions"],
    "metadata.team": lambda job, value: job.spec.get("metadata", {}).get("team") == value,
    "metadata.run": lambda job, value: str(job.spec.get("metadata", {}).get("run")) == value,
    "created_after": lambda job, value: job.row["created_at"] >= datetime.fromisoformat(value),
    "created_before": lambda job, value: job.row["created_at"] < datetime.fromisoformat(value),
    "finished_after": lambda job, value: (job.row["finished_at"] or EARLY) >= datetime.fromisoformat(value),
    "finished_before": lambda job, value: (job.row["finished_at"] or LATE) < datetime.fromisoformat(value),
}
EARLY, LATE = (datetime.fromisoformat(f"{year}-01-01T00:00:00+00:00") for year in (1900, 9900))


def drawn(draw: random.Random, name: str, stored: list[Stored]) -> str:
    """A value of a filter, which some job has or none."""
    job = draw.choice(stored)
    if name.endswith(("_after", "_before")):
        moment = (job.row["finished_at"] if "finished" in name else None) or job.row["created_at"]
        return str((moment + draw.choice([timedelta(0), timedelta(microseconds=1)])).isoformat())
    values: dict[str, Sequence[str]] = {
        "status": [",".join(draw.sample(STATES, draw.randint(1, 3)))],
        "kind": ["inference", "inference", "import"],
        "name": [job.spec["name"]],
        "name_prefix": [job.spec["name"][: draw.randint(1, 4)]],
        "spec_hash": [job.row["spec_hash"]],
        "error_code": ["busy", "busy", "success_rate_missed", "timeout"],
        "model": ["m-a", "m-b", "m-c"],
        "region": ["us-east", "eu-west"],
        "metadata.team": ["search", "ads", "none"],
        "metadata.run": ["1", "2"],
    }
    return draw.choice(values[name])


def filters(stored: list[Stored]) -> Iterator[dict[str, str]]:
    """Every filter with every other, and some of three."""
    draw = random.Random(12)
    pairs = [pair for _ in range(REPETITIONS) for pair in combinations(MATCHES, 2)]
    for names in [*((name,) for name in MATCHES), *pairs, *(draw.sample(list(MATCHES), 3) for _ in range(40))]:
        yield {name: drawn(draw, name, stored) for name in names}


async def end(seeds: Seeds, how: str) -> None:
    """Plan what is queued, and end it, or some of it."""
    await seeds.plan()
    for n, batch in enumerate(await seeds.claim()):
        if how == "unknown":
            await end_unknown(seeds, batch)
        elif how != "running":
            is_lost = how == "failed" or (how == "mixed" and n > 0)
            await seeds.record(failed(batch) if is_lost else completed(batch))


@pytest.fixture
async def stored(seeds: Seeds, reader: httpx2.AsyncClient, connection: Connection) -> list[Stored]:
    draw = random.Random(7)
    for _ in range(JOBS):
        job = await seeds.submit(
            name=draw.choice(["nightly", "night%", "nightlý-2", "Nightly", "a b"]),
            models=draw.sample(["m-a", "m-b", "m-c"], draw.randint(1, 2)),
            regions=draw.sample(["us-east", "eu-west"], draw.randint(1, 2)),
            metadata=draw.choice([{}, {"team": "search"}, {"team": "ads", "run": 1}, {"run": 2}, {"run": "1"}]),
            policy={"min_success_rate": draw.choice([0.3, 1])},
        )
        how = draw.choice(["queued", "running", "cancelled", "completed", "failed", "mixed", "unknown"])
        if how == "cancelled":
            await reader.post(f"/jobs/{job.id}/cancel")
        elif how != "queued":
            await end(seeds, how)
    await seeds.submit(name="nightly")
    return [Stored(row, row["spec"]) for row in await connection.fetch(STORED)]


async def test_filters_find_what_a_second_reading_finds(reader: httpx2.AsyncClient, stored: list[Stored]) -> None:
    assert {job.row["status"] for job in stored} == set(STATES)
    found_any = 0
    for wanted in filters(stored):
        query = urlencode(wanted, quote_via=quote)
        found = [item["id"] for item in await every_item(reader, f"/jobs?{query}", limit=200)]
        expected = [job.row["id"] for job in stored if all(MATCHES[name](job, value) for name, value in wanted.items())]
        assert found == expected, wanted
        matched = (await reader.post(f"/jobs/cancel?{query}&dry_run=true")).json()["matched"]
        assert matched == len(expected), wanted
        found_any += bool(expected)
    assert found_any > 100


async def pages_of(reader: httpx2.AsyncClient, query: str) -> list[list[str]]:
    """The ids on each page of a list."""
    pages, cursor = [], ""
    while cursor is not None:
        page = (await reader.get(f"/jobs?{query}&limit=2{cursor and f'&cursor={cursor}'}")).json()
        pages.append([item["id"] for item in page["items"]])
        cursor = page["next_cursor"]
    return pages


async def test_a_page_by_a_filter_without_an_index_looks_at_so_many_jobs_and_the_next_goes_on(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_LOOKED_AT", 4)
    oldest = await seeds.submit(name="a", metadata={"team": "search"})
    for _ in range(7):
        await seeds.submit(name="b")
    three = [(await seeds.submit(name="c", metadata={"team": "search"})).id for _ in range(3)][::-1]
    assert await pages_of(reader, "metadata.team=search") == [three[:2], three[2:], [], [oldest.id]]
    assert await pages_of(reader, "metadata.team=none") == [[], [], []]
    for indexed in ("status=queued", "name_prefix=a", "model=m-a"):
        assert await pages_of(reader, f"metadata.team=none&{indexed}") == [[]]
