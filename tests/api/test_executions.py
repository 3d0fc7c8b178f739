"""GET /jobs/{id}/executions and GET /executions/{id}: plan order, filters, states, and the tries of a cell."""

from typing import Any

import httpx2

from tests.support.job_seeds import Seeds, completed, failed, retried
from tests.support.reading_app import every_item

BODY: dict[str, Any] = {
    "models": [{"id": "a", "regions": ["EU"]}, {"id": "b", "provider": "other"}],
    "regions": ["us-east", "eu-west"],
    "questions": [{"id": "q1", "text": "One?"}, {"id": "q2", "text": "Two?"}],
}
PLAN_ORDER = [
    ("b", "us-east", "q1"),
    ("b", "us-east", "q2"),
    ("a", "eu-west", "q1"),
    ("a", "eu-west", "q2"),
    ("b", "eu-west", "q1"),
    ("b", "eu-west", "q2"),
]


def cells(items: list[Any]) -> list[tuple[str, str, str]]:
    return [(item["model_id"], item["region"], item["question_id"]) for item in items]


async def only(reader: httpx2.AsyncClient, job_id: str, query: str = "") -> Any:
    answer = await reader.get(f"/jobs/{job_id}/executions?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_cells_come_in_plan_order_page_by_page(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BODY)
    await seeds.plan()
    for limit in (1, 2, 4, 6, 200):
        assert cells(await every_item(reader, f"/jobs/{job.id}/executions", limit=limit)) == PLAN_ORDER


async def test_a_queued_job_has_no_cells_yet(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    assert await only(reader, job.id) == []


async def test_each_filter_narrows_the_cells(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BODY)
    await seeds.plan()
    [batch] = await seeds.claim(cells=1)
    await seeds.record(completed(batch, first=1))
    ran = [(model, region, question) for model, region, question in PLAN_ORDER if region == batch.region]
    for query, expected in {
        "status=planned": [cell for cell in PLAN_ORDER if cell not in ran],
        "status=running": ran[1:],
        "status=completed": ran[:1],
        "status=failed": [],
        "model=a": [cell for cell in PLAN_ORDER if cell[0] == "a"],
        "region=USA": [cell for cell in PLAN_ORDER if cell[1] == "us-east"],
        "region=apac": [],
        "question=q2": [cell for cell in PLAN_ORDER if cell[2] == "q2"],
        "question=q3": [],
        "model=b&region=EU&question=q1": [("b", "eu-west", "q1")],
    }.items():
        assert (query, cells(await only(reader, job.id, query))) == (query, expected)
        assert cells(await every_item(reader, f"/jobs/{job.id}/executions?{query}", limit=1)) == expected


async def test_wrong_filters_are_refused(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    for query in ("status=pending", "region=mars", "model=%00", "limit=0", "cursor=x", "answer=4"):
        answer = await reader.get(f"/jobs/{job.id}/executions?{query}")
        assert (query, answer.status_code) == (query, 422)


async def test_a_cell_is_shown_from_its_plan_to_its_answer(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(models=[{"id": "a", "provider": "hybrid"}])
    await seeds.plan()
    [planned] = await only(reader, job.id)
    assert (planned["status"], planned["attempts"], planned["output"]) == ("planned", 0, None)
    assert planned["queued_at"] is planned["started_at"] is planned["finished_at"] is planned["output_empty"] is None
    [batch] = await seeds.claim()
    [running] = await only(reader, job.id)
    assert (running["id"], running["status"], running["queued_at"] is None) == (planned["id"], "running", False)
    await seeds.record(completed(batch, output=""))
    [done] = await only(reader, job.id)
    assert (done["status"], done["output"], done["output_empty"], done["error"]) == ("completed", "", True, None)
    assert (done["provider"], done["provider_used"], done["region_served"]) == ("hybrid", "echo", "us-east")
    assert done["created_at"] <= done["queued_at"] <= done["started_at"] <= done["finished_at"]
    assert done["job_id"] == job.id


async def test_a_cell_shows_every_try(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()
    await seeds.record(*(retried(batch) for batch in await seeds.claim()))
    [waiting] = await only(reader, job.id)
    assert (waiting["status"], waiting["attempts"]) == ("planned", 1)
    await seeds.record(*(failed(batch) for batch in await seeds.claim()))
    found = (await reader.get(f"/executions/{waiting['id']}")).json()
    history = found.pop("attempt_history")
    assert found.pop("response") is None
    assert found == (await only(reader, job.id))[0]
    assert found["error"] == {"code": "busy", "detail": "Busy.", "retryable": False}
    assert [(attempt["attempt"], attempt["status"], attempt["error"]["retryable"]) for attempt in history] == [
        (1, "failed", True),
        (2, "failed", False),
    ]


async def test_an_answered_cell_has_its_answer_as_the_last_try(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    [cell] = await only(reader, job.id)
    [attempt] = (await reader.get(f"/executions/{cell['id']}")).json()["attempt_history"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]) == (1, "completed", None)


async def test_each_cell_is_found_by_its_id(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit(**BODY)
    await seeds.plan()
    for cell in await only(reader, job.id):
        assert cells([(await reader.get(f"/executions/{cell['id']}")).json()]) == cells([cell])


async def test_an_unknown_execution_is_a_404(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.plan()
    number = job.job_no
    for wrong in (
        f"{number}-0-0-1",
        f"{number}-200-0-0",
        f"{number + 1}-0-0-0",
        "9" * 19 + "-0-0-0",
        "x",
        "%00",
        "²-0-0-0",
    ):
        answer = await reader.get(f"/executions/{wrong}")
        assert (wrong, answer.status_code, answer.json()["code"]) == (wrong, 404, "not_found")
