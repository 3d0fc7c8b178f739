"""Ids and cursors under an API key tell nothing of other tenants' numbers, and go on working as they were given."""

import asyncio
import re
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import orjson
import pytest

from api.authentication import Authenticator
from domain.scopes import Scope
from domain.sealing import LOWEST_SEALED
from runtime.tasks import end_tasks
from tests.support.access import AsKey, make_key, make_tenant
from tests.support.controls import exhausted
from tests.support.job_seeds import Seeds
from tests.support.reading_app import every_item, replace_services
from tests.support.service import unique

NUMBER = re.compile(r"\d+")
COLUMNS = """
SELECT (SELECT max(job_no) FROM jobs) AS job, (SELECT max(submission_no) FROM submissions) AS submission,
    (SELECT max(trigger_no) FROM triggers) AS trigger, (SELECT max(dead_letter_no) FROM dead_letters) AS dead_letter,
    (SELECT max(position) FROM events) AS event
"""
APART = 1_000_003
"""Where sequences of a busy installation stand, so that no small number is one of theirs by chance."""


@pytest.fixture
async def keyed(reader: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The reader's app, which asks for keys and stores submissions; other tenants have made very many of everything."""
    for table in ("jobs", "submissions", "triggers", "dead_letters"):
        await rows.execute("SELECT setval(pg_get_serial_sequence($1, $2), $3)", table, f"{table[:-1]}_no", APART)
    services = reader.app.state.services  # type: ignore[attr-defined]
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    submitting = asyncio.create_task(services.submissions.run())
    yield reader
    await end_tasks([submitting])


async def with_dead_letters(keyed: httpx2.AsyncClient, key: AsKey, seeds: Seeds) -> str:
    """A job that was submitted under the key, and failed for good."""
    body = unique(models=["m-a"], regions=["us-east"], questions=["1?", "2?"])
    job_id: str = (await key.post("/jobs", body)).json()["job"]["id"]
    await seeds.plan()
    await seeds.record(*(exhausted(batch) for batch in await seeds.claim()))
    return job_id


async def everything(key: AsKey, job_id: str) -> dict[str, httpx2.Response]:
    """What a tenant is shown of itself: whole lists, and pages of one item, so that there are cursors."""
    paths = [
        *("/jobs", "/executions", "/events", "/audit"),
        *(f"/jobs/{job_id}/{part}" for part in ("executions", "events", "submissions", "coordination", "waves")),
    ]
    asked = [f"/jobs/{job_id}", *paths, *(f"{path}?limit=1" for path in paths)]
    return {path: await key.get(path) for path in asked}


def numbers_in(answer: httpx2.Response) -> set[int]:
    """Every number in an answer, those inside its cursors too."""
    texts = [answer.text, answer.headers.get("Link", "")]
    for text in re.findall(r"[A-Za-z0-9_-]{20,}", " ".join(texts)):
        with suppress(ValueError):  # most are no cursors
            texts.append(orjson.dumps(orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))).decode())
    return {int(number) for text in texts for number in NUMBER.findall(text)}


async def test_no_answer_holds_a_number_that_is_counted_over_all_tenants(
    keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    key = AsKey(keyed, await make_key(rows, tenant=(await named(rows, "acme"))))
    operator = AsKey(keyed, await make_key(rows, Scope.OPERATE))
    for _ in range(2):
        job_id = await with_dead_letters(keyed, key, seeds)
    [letter, *_] = (await operator.get("/queue/dead")).json()["items"]
    assert (await operator.post(f"/queue/dead/{letter['id']}/replay")).json()["id"] == job_id
    counted = {number for number in (await rows.fetchrow(COLUMNS)).values() if number > APART}
    assert len(counted) >= 3  # though two of them may be equal
    near = {number - step for number in counted for step in range(10)}
    found = await everything(key, job_id)
    for path, answer in found.items():
        assert answer.status_code == 200, (path, answer.text)
        assert numbers_in(answer) & near == set(), path
    event_token = orjson.loads(urlsafe_b64decode(found["/events"].json()["next_token"] + "=="))
    assert min(event_token[2:4]) >= LOWEST_SEALED


async def named(rows: Any, tenant: str) -> str:
    await make_tenant(rows, tenant)
    return tenant


async def test_ids_and_cursors_that_were_shown_are_taken(keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    key = AsKey(keyed, text := await make_key(rows))
    for _ in range(3):
        job_id = await with_dead_letters(keyed, key, seeds)
    keyed.headers["Authorization"] = f"Bearer {text}"
    for path, count in (
        ("/jobs", 3),
        ("/executions", 6),
        (f"/jobs/{job_id}/submissions", 1),
    ):
        items = await every_item(keyed, path, limit=1)
        assert len({str(item) for item in items}) == len(items) == count, path
    tokens = [event["token"] for event in (await key.get("/events")).json()["items"]]
    rest = (await key.get(f"/events?after={tokens[0]}")).json()["items"]
    assert [event["token"] for event in rest] == tokens[1:]

    [letter, *_] = (await key.get("/queue/dead")).json()["items"]
    execution = await key.get(f"/executions/{letter['execution_id']}")
    assert (execution.json()["id"], execution.json()["status"]) == (letter["execution_id"], "failed")
    assert (await key.post(f"/executions/{letter['execution_id']}/retry")).json()["retried"] == 1
    events = (await key.get(f"/jobs/{job_id}/events?limit=200")).json()["items"]
    told = [event["data"]["filter"] for event in events if event["type"] == "retried"]
    assert all(int(filtered["execution_id"].split("-")[0]) >= LOWEST_SEALED for filtered in told)


async def test_another_tenant_s_ids_are_not_there(keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any) -> None:
    ours = AsKey(keyed, await make_key(rows))
    theirs = AsKey(keyed, await make_key(rows, tenant=await named(rows, "acme")))
    await with_dead_letters(keyed, ours, seeds)
    [execution, *_] = (await ours.get("/executions")).json()["items"]
    cursor = (await ours.get("/executions?limit=1")).json()["next_cursor"]
    assert (await theirs.get(f"/executions/{execution['id']}")).status_code == 404
    assert (await theirs.post(f"/executions/{execution['id']}/retry")).status_code == 404
    assert (await theirs.get(f"/executions?cursor={cursor}")).json() == {"items": [], "next_cursor": None}


async def test_a_job_s_own_number_is_taken_only_where_it_was_shown(
    keyed: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    """Of jobs from before there were keys; else a tenant could try numbers until one is its own."""
    key = AsKey(keyed, await make_key(rows))
    before = await seeds.submit()  # without a key
    await with_dead_letters(keyed, key, seeds)
    numbers = await rows.fetchrow(COLUMNS)
    assert (await key.get(f"/executions/{before.job_no}-0-0-0")).status_code == 200
    assert (await key.get(f"/executions/{numbers['job']}-0-0-0")).status_code == 404
    assert (await key.post(f"/executions/{numbers['job']}-0-0-0/retry")).status_code == 404
    plain = await plain_cursor(keyed, rows)
    refused = await key.get(f"/jobs?cursor={plain}")
    assert (refused.status_code, refused.json()["code"]) == (422, "cursor_invalid")


async def plain_cursor(keyed: httpx2.AsyncClient, rows: Any) -> str:
    """A cursor as it is given while authentication is off."""
    services = keyed.app.state.services  # type: ignore[attr-defined]
    replace_services(keyed, authenticator=None)
    cursor: str = (await keyed.get("/jobs?limit=1")).json()["next_cursor"]
    replace_services(keyed, authenticator=services.authenticator)
    return cursor


async def test_without_authentication_ids_are_as_they_were(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    [execution] = (await reader.get(f"/jobs/{job.id}/executions")).json()["items"]
    assert execution["id"] == f"{job.job_no}-0-0-0"
    [submission] = (await reader.get(f"/jobs/{job.id}/submissions")).json()["items"]
    assert submission["id"] < LOWEST_SEALED
