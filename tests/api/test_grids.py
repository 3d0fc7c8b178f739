"""GET /jobs/{id}/grid: each planned cell by a letter in the order of the spec, or counts where there are many."""

from typing import Any

import asyncpg
import httpx2
import pytest

from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item

BODY: dict[str, Any] = {
    "models": [{"id": "b", "regions": ["EU"]}, "a"],
    "regions": ["us-east", "eu-west"],
    "questions": [{"id": f"q{number}", "text": f"{number}?"} for number in range(1, 8)],
}
PAIRS = [("b", "eu-west"), ("a", "us-east"), ("a", "eu-west")]
ENDS = ["completed", "incomplete", "failed", "cancelled", "unknown", "planned", "running"]
LETTERS = "cifxupr"
END_EACH = """
UPDATE executions
SET status = CASE $3 WHEN 'incomplete' THEN 'completed' ELSE $3 END,
    finished_at = CASE WHEN $3 IN ('planned', 'running') THEN NULL ELSE now() END,
    output = '<b>', is_complete = CASE $3 WHEN 'incomplete' THEN false WHEN 'completed' THEN true END,
    error_code = 'busy'
WHERE job_no = $1 AND (question_no + 2 * model_no + 3 * region_no) % 7 = $2
"""


async def grid(reader: httpx2.AsyncClient, job_id: str, query: str = "") -> Any:
    answer = await reader.get(f"/jobs/{job_id}/grid?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows_of(shown: Any) -> dict[tuple[str, str], str]:
    return {(row["model_id"], row["region"]): row["states"] for row in shown["items"]}


async def end_each(rows: "asyncpg.Connection[asyncpg.Record]", job_no: int) -> None:
    """Bring the cells of a planned job into all states."""
    for number, end in enumerate(ENDS):
        if end == "unknown":
            await rows.execute(END_EACH, job_no, number, "running")
        if end != "planned":
            await rows.execute(END_EACH, job_no, number, end)


def expected(first: int = 1, last: int = 7) -> dict[tuple[str, str], str]:
    """The letters that `end_each` leaves, computed from its rule alone."""
    numbers = {("b", "eu-west"): (0, 1), ("a", "us-east"): (1, 0), ("a", "eu-west"): (1, 1)}
    return {
        pair: "".join(LETTERS[(question + 2 * model + 3 * region) % 7] for question in range(first - 1, last))
        for pair, (model, region) in numbers.items()
    }


async def test_a_job_has_the_same_grid_before_and_after_it_is_planned(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BODY)
    before = await grid(reader, job.id)
    assert rows_of(before) == dict.fromkeys(PAIRS, "p" * 7)
    assert list(rows_of(before)) == PAIRS
    assert (before["models"], before["questions"][0], before["question_count"]) == (["b", "a"], "q1", 7)
    await seeds.plan()
    assert await grid(reader, job.id) == before
    [batch, *_] = await seeds.claim(cells=1)
    taken = await grid(reader, job.id)
    assert sum(row["counts"]["running"] for row in taken["items"]) == len(batch.model_nos)


async def test_each_state_has_its_letter_and_its_count(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit(**BODY)
    await seeds.plan()
    await end_each(rows, job.job_no)
    shown = await grid(reader, job.id)
    assert rows_of(shown) == expected()
    for row in shown["items"]:
        assert row["counts"] == {
            ("pending" if end == "planned" else end): row["states"].count(letter)
            for end, letter in zip(ENDS, LETTERS, strict=True)
        }
    counted = await grid(reader, job.id, "single=20")
    assert counted["questions"] is None
    assert set(rows_of(counted).values()) == {None}
    assert [row["counts"] for row in counted["items"]] == [row["counts"] for row in shown["items"]]


async def test_a_grid_is_narrowed_to_a_model_a_region_and_questions(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit(**BODY)
    await seeds.plan()
    await end_each(rows, job.job_no)
    whole = expected()
    assert rows_of(await grid(reader, job.id, "model=a")) == {pair: whole[pair] for pair in PAIRS[1:]}
    assert rows_of(await grid(reader, job.id, "region=EU&model=a")) == {PAIRS[2]: whole[PAIRS[2]]}
    assert rows_of(await grid(reader, job.id, "model=z")) == {}
    part = await grid(reader, job.id, "first_question=3&questions=2")
    assert (part["questions"], part["first_question"], part["last_question"]) == (["q3", "q4"], 3, 4)
    assert rows_of(part) == expected(3, 4)
    assert set(rows_of(await grid(reader, job.id, "first_question=8")).values()) == {""}
    assert [(row["model_id"], row["region"]) for row in await every_item(reader, f"/jobs/{job.id}/grid", limit=2)] == (
        PAIRS
    )


async def test_a_grid_that_has_not_changed_is_not_sent_again(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BODY)
    tag = (await reader.get(f"/jobs/{job.id}/grid")).headers["ETag"]
    assert (await reader.get(f"/jobs/{job.id}/grid", headers={"If-None-Match": tag})).status_code == 304
    await reader.post(f"/jobs/{job.id}/cancel")
    changed = await reader.get(f"/jobs/{job.id}/grid", headers={"If-None-Match": tag})
    assert rows_of(changed.json()) == dict.fromkeys(PAIRS, "x" * 7)


@pytest.mark.parametrize("query", ["first_question=0", "questions=0", "single=50001", "limit=201", "cursor=x"])
async def test_a_part_that_no_grid_has_is_refused(reader: httpx2.AsyncClient, seeds: Seeds, query: str) -> None:
    job = await seeds.submit()
    answer = await reader.get(f"/jobs/{job.id}/grid?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, query.partition("=")[0])
    assert (await reader.get("/jobs/absent/grid")).status_code == 404
