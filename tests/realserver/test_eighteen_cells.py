"""A job of eighteen cells in three regions, answered by a server that isn't ours and knows nothing of us."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.domain.bodies import submitted
from tests.support.outcomes import assert_audit
from tests.support.service import Client, StartProcess, api_client
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.real_server

CELLS = 18
REGIONS = {"us-east", "eu-west", "asia-pacific"}
ANSWER_TOKENS = 16
PARAMETERS = {"max_tokens": ANSWER_TOKENS, "temperature": 0.1}


async def test_a_real_server_answers_every_cell_of_a_job(
    config: Path, start_api: StartProcess, start_worker: StartProcess, database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url, config=config)
    start_worker(database_url, redis_url, config=config)
    async with api_client(api, database_url) as client:
        started = time.monotonic()
        links = await submit(client)
        job = await ended(client, links["self"])
        print(f"{CELLS} cells in {time.monotonic() - started:.1f} s, from the POST to the end")  # noqa: T201

        assert (job["status"], job["progress"]["completed"]) == ("completed", CELLS), job
        await assert_cells_are_answered(client, links["executions"])
        await assert_usage_is_kept(client)
        await assert_it_ran_once(client, links["audit"])


async def submit(client: Client) -> Any:
    answer = await client.post({**submitted("03"), "parameters": PARAMETERS})
    assert answer.status_code == 202, answer.text
    return answer.json()["job"]["links"]


async def ended(client: Client, link: str) -> Any:
    async def look() -> Any:
        job = (await client.http.get(link)).json()
        return job if job["finished_at"] else None

    return await eventually_async(look, seconds=60, what="the job ended")


async def assert_cells_are_answered(client: Client, link: str) -> None:
    """Each by the model it names, at the first try."""
    cells = (await client.http.get(link, params={"limit": CELLS + 1})).json()["items"]
    assert {cell["status"] for cell in cells} == {"completed"}
    assert {cell["provider_used"] for cell in cells} == {"hybrid"}
    assert len({(cell["model_id"], cell["region"], cell["question_id"]) for cell in cells}) == CELLS
    assert {cell["region"] for cell in cells} == REGIONS
    assert {cell["region_served"] for cell in cells} == {None}, "these servers name no region"
    assert {cell["attempts"] for cell in cells} == {1}
    for cell in cells:
        assert said_by(cell["output"]) == {cell["model_id"]}, cell


def said_by(output: str) -> set[str]:
    """Return whose words these are; each is the model's name and a number."""
    return {word.rpartition("-")[0] for word in output.split()}


async def assert_usage_is_kept(client: Client) -> None:
    """The server counted what it was asked, which differs by question, and stopped where the parameters say."""
    rows = await client.database.fetch("SELECT question_no, usage FROM executions")
    usages = [(row["question_no"], json.loads(row["usage"])) for row in rows]
    assert [usage["completion_tokens"] for _, usage in usages] == [ANSWER_TOKENS] * CELLS
    prompt_tokens = {(question_no, usage["prompt_tokens"]) for question_no, usage in usages}
    assert len(prompt_tokens) == len({tokens for _, tokens in prompt_tokens}) == 2


async def assert_it_ran_once(client: Client, link: str) -> None:
    audit = (await client.http.get(link)).json()
    assert audit["holds"], audit
    assert (audit["terminal"], audit["attempts"], audit["external_calls"]) == (CELLS, CELLS, CELLS)
    await assert_audit(client.database)
