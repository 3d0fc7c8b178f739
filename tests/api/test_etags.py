"""Polled answers have tags: 304 while the answer would be the same, a new tag with any change in it."""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from tests.support.job_seeds import Seeded, Seeds, completed, failed, retried

POLLED = ("", "/executions", "/waves", "/waves/1/batches")


async def tag_of(reader: httpx2.AsyncClient, path: str) -> str:
    answer = await reader.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"
    return str(answer.headers["ETag"])


async def is_unchanged(reader: httpx2.AsyncClient, path: str, tag: str) -> bool:
    answer = await reader.get(path, headers={"If-None-Match": tag})
    assert answer.status_code in {200, 304}
    assert (answer.content == b"") == (answer.status_code == 304)
    return answer.status_code == 304


async def planned(seeds: Seeds) -> Seeded:
    seeds.batch_cells = 2
    job = await seeds.submit(questions=["One?", "Two?", "Three?", "Four?"])
    await seeds.plan()
    return job


@pytest.mark.parametrize("part", POLLED)
async def test_an_unchanged_answer_is_not_sent_again(reader: httpx2.AsyncClient, seeds: Seeds, part: str) -> None:
    path = f"/jobs/{(await planned(seeds)).id}{part}"
    tag = await tag_of(reader, path)
    assert tag.startswith('W/"')
    for named in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await reader.get(path, headers={"If-None-Match": named})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert not await is_unchanged(reader, path, 'W/"other"')


async def swap(rows: Any) -> None:
    """The batch that ran waits, the other one, of as many cells, runs: no count and no event shows it."""
    await rows.execute(
        """
        UPDATE batches
        SET status = CASE status WHEN 'running' THEN 'pending' ELSE 'running' END,
            holder = CASE status WHEN 'running' THEN NULL ELSE 1 END,
            lease_until = CASE status WHEN 'running' THEN NULL ELSE now() + interval '1 minute' END
        """
    )


async def renew(rows: Any) -> None:
    await rows.execute("UPDATE batches SET lease_until = lease_until + interval '1 second' WHERE status = 'running'")


@pytest.mark.parametrize(
    ("change", "parts"), [(swap, {"/executions", "/waves/1/batches"}), (renew, {"/waves/1/batches"})]
)
async def test_a_change_outside_the_row_of_the_job_changes_the_tag(
    reader: httpx2.AsyncClient,
    seeds: Seeds,
    rows: Any,
    change: Callable[[Any], Awaitable[None]],
    parts: set[str],
) -> None:
    job = await planned(seeds)
    await seeds.claim(cells=1)
    tags = {part: await tag_of(reader, f"/jobs/{job.id}{part}") for part in POLLED}
    await change(rows)
    changed = {part for part, tag in tags.items() if not await is_unchanged(reader, f"/jobs/{job.id}{part}", tag)}
    assert changed == parts


async def test_each_step_of_a_job_changes_every_tag_that_shows_it(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await planned(seeds)
    seen: dict[str, list[str]] = {part: [] for part in POLLED}

    async def look() -> None:
        for part in POLLED:
            seen[part].append(await tag_of(reader, f"/jobs/{job.id}{part}"))

    await look()
    first, second = await seeds.claim()
    await look()
    await seeds.record(completed(first, first=1))
    await look()
    await seeds.record(retried(second))
    await look()
    [again] = await seeds.claim()
    await look()
    await seeds.record(failed(again))
    await look()
    changes = {part: sum(a != b for a, b in pairwise(tags)) for part, tags in seen.items()}
    assert changes == {"": 5, "/executions": 5, "/waves": 1, "/waves/1/batches": 5}


async def test_pages_and_filters_have_tags_of_their_own(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    path = f"/jobs/{(await planned(seeds)).id}/executions"
    tags = {await tag_of(reader, path + query) for query in ("", "?limit=1", "?limit=2", "?status=running")}
    assert len(tags) == 4


async def test_an_unchanged_page_still_links_to_the_next(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    path = f"/jobs/{(await planned(seeds)).id}/executions?limit=1"
    first = await reader.get(path)
    again = await reader.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.links["next"]) == (304, first.links["next"])
