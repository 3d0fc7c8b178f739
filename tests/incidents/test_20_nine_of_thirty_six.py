"""Incident 20: answers lacked the question, and clients expected 9 of 36. The server counts and shows whole keys."""

from typing import Any

from tests.support.outcomes import assert_audit
from tests.support.reading_app import every_item
from tests.support.service import Client, unique
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

BODY = {
    "models": ["a", "b", "c", "d"],
    "regions": ["us-east", "eu-west", "asia-pacific"],
    "questions": ["math_basic", {"id": "q-own", "text": "Why?"}, "What is 2+3?"],
    "metadata": {"expected_executions": 9},
}


async def test_the_server_counts_executions_and_notes_a_wrong_expectation(own_client: Client) -> None:
    answer = (await own_client.post(unique(**BODY))).json()
    planned = {"models": 4, "regions": 3, "questions": 3, "executions": 36}
    assert answer["planned"] == planned
    (note,) = [note for note in answer["normalization"] if note["action"] == "contradicted"]
    assert (note["path"], note["to"]) == ("/metadata/expected_executions", 36)
    job = (await own_client.http.get(answer["job"]["links"]["self"])).json()
    assert (job["planned"], job["progress"]["planned"], job["progress"]["pending"]) == (planned, 36, 36)


async def test_each_execution_is_shown_with_its_whole_key(fleet: Fleet, connection: Any, own_client: Client) -> None:
    fleet.start()
    answer = (await own_client.post(unique(**BODY))).json()
    at = answer["job"]["links"]["self"]

    async def completed() -> bool:
        return (await own_client.http.get(at)).json()["progress"]["completed"] == 36

    await eventually_async(completed, what="all 36 completed")
    cells = await every_item(own_client.http, f"{at}/executions", limit=9)
    questions = [question["id"] for question in answer["spec"]["questions"]]
    assert questions[:2] == ["math_basic", "q-own"]
    assert [(cell["job_id"], cell["region"], cell["model_id"], cell["question_id"]) for cell in cells] == [
        (answer["job"]["id"], region, model, question)
        for region in BODY["regions"]
        for model in BODY["models"]
        for question in questions
    ]
    execution = (await own_client.http.get(f"/executions/{cells[20]['id']}")).json()
    assert {name: execution[name] for name in cells[20]} == cells[20]
    await assert_audit(connection)
