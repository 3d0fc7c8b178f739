"""Submissions that share a transaction don't share their fate: one that fails or must wait does so alone."""

import asyncio
import os
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import orjson
import pytest

from db.submissions import lock_key
from db.tenants import DEFAULT_TENANT_NO
from tests.support.cpu_waits import clock_of
from tests.support.service import Client, Process, unique
from tests.support.waiting import eventually_async

GROUP = 32
PROMPT_SECONDS = 0.9


@asynccontextmanager
async def other_transaction(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A transaction of another client, rolled back at the end."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def post_as_group(client: Client, database_url: str, bodies: list[Any]) -> list[httpx2.Response]:
    """Post these while the API waits for a table, so that it takes them together; over open connections."""
    await asyncio.gather(*(client.http.get("/livez") for _ in range(len(bodies) + 2)))
    async with other_transaction(database_url) as other:
        await other.execute("LOCK TABLE submissions IN EXCLUSIVE MODE")
        ahead = asyncio.create_task(client.post(unique()))
        await eventually_async(lambda: waits_for_a_lock(client), what="the API waits for the table")
        posted = [asyncio.create_task(client.post(body)) for body in bodies]
        await eventually_async(lambda: have_been_sent(client, posted), what="all are sent")
    assert (await ahead).status_code == 202
    return await asyncio.gather(*posted)


async def waits_for_a_lock(client: Client) -> bool:
    return bool(
        await client.database.fetchval(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'breakwater-api' AND wait_event_type = 'Lock'
            """
        )
    )


async def have_been_sent(client: Client, posted: list[Any]) -> bool:
    # An answer that needs no table comes after what was sent before it has been read, or nearly all of that.
    answer = await client.http.get("/openapi.json")
    return answer.status_code == 200 and not any(task.done() for task in posted)


async def test_a_job_that_is_cancelled_while_it_is_looked_up_is_not_joined(
    client: Client, shared_database_url: str
) -> None:
    """It is found active, and cancelled before it is read; the table of specs is locked between the two."""
    body = unique()
    first = (await client.post(body)).json()["job"]["id"]
    async with other_transaction(shared_database_url) as other:
        await other.execute("LOCK TABLE specs IN ACCESS EXCLUSIVE MODE")
        again = asyncio.create_task(client.post(body))
        await eventually_async(lambda: waits_for_a_lock(client), what="the API has found the job")
        await client.cancel(first)
    answer = await again
    assert (answer.status_code, answer.json()["outcome"], answer.json()["job"]["status"]) == (202, "created", "queued")
    assert answer.json()["dedup"]["previous"]["job_id"] == first


async def test_one_that_the_database_refuses_leaves_its_neighbours_unharmed(
    client: Client, service: Process, shared_database_url: str
) -> None:
    bodies = [unique() for _ in range(GROUP)]
    poisoned = bodies[GROUP // 2]["name"]
    await client.database.execute(f"ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (name <> '{poisoned}') NOT VALID")
    try:
        answers = await post_as_group(client, shared_database_url, bodies)
    finally:
        await client.database.execute("ALTER TABLE jobs DROP CONSTRAINT no_poison")
    refused = answers.pop(GROUP // 2)
    assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
    assert poisoned not in refused.text
    assert Counter(answer.status_code for answer in answers) == {202: GROUP - 1}
    assert max(event["submissions"] for event in service.events("submission_group_failed")) > GROUP // 2
    assert [len(await client.ledger(answer)) for answer in answers] == [1] * (GROUP - 1)
    assert await client.jobs(poisoned) == []


async def test_one_whose_id_another_transaction_is_inserting_leaves_its_neighbours_unharmed(
    client: Client, shared_database_url: str
) -> None:
    bodies = [unique() for _ in range(GROUP)]
    held = bodies[GROUP // 2]
    held["id"] = f"mine-{held['name']}"
    async with other_transaction(shared_database_url) as other:
        await other.execute(
            "INSERT INTO jobs (tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)"
            " VALUES (1, $1, 'inference', 'other', 'h1:', 1, 1, 1)",
            held["id"],
        )
        answers = await post_as_group(client, shared_database_url, bodies)
    refused = answers.pop(GROUP // 2)
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert Counter(answer.status_code for answer in answers) == {202: GROUP - 1}
    assert (await client.post(held)).status_code == 202


async def test_one_whose_id_another_transaction_has_inserted_is_in_conflict(
    client: Client, shared_database_url: str
) -> None:
    body = unique(id=f"mine-{secrets.token_hex(6)}")
    connection = await asyncpg.connect(shared_database_url)
    async with connection.transaction():
        await connection.execute(
            """
            WITH stored AS (
                INSERT INTO jobs (tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
                VALUES (1, $1, 'inference', 'other', 'h1:', 1, 1, 1)
                RETURNING job_no
            )
            INSERT INTO specs (job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs)
            SELECT job_no, 1, 'other', 'h1:', '{}', '{}', '{}', '{}'
            FROM stored
            """,
            body["id"],
        )
        posted = asyncio.create_task(client.post(body))
        await eventually_async(lambda: waits_for_a_lock(client), what="the API waits for the row")
    await connection.close()
    assert ((await posted).status_code, (await posted).json()["code"]) == (409, "job_id_conflict")


async def test_those_whose_lock_is_held_elsewhere_wait_alone_and_not_for_ever(
    client: Client, shared_database_url: str
) -> None:
    keyed, unkeyed = unique(), unique()
    spec_hash = (await client.post(unkeyed, dry_run=True)).json()["dedup"]["spec_hash"]
    async with other_transaction(shared_database_url) as other:
        for kind, value in (("key", keyed["name"]), ("spec", spec_hash)):
            await other.execute("SELECT pg_advisory_xact_lock($1)", lock_key(kind, DEFAULT_TENANT_NO, value))
        started, clock = time.monotonic(), clock_of(os.getpid(), client.process.pid)
        waiting = [
            asyncio.create_task(request) for request in (client.post(keyed, key=keyed["name"]), client.post(unkeyed))
        ]
        others = [await client.post(unique())]
        assert not any(post.done() for post in waiting)
        others += [await client.post(unique()) for _ in range(19)]
        assert clock() < PROMPT_SECONDS
        assert Counter(answer.status_code for answer in others) == {202: 20}

        in_flight = await waiting[0]
        assert time.monotonic() - started >= 1
        assert clock() < 2
        assert (in_flight.status_code, in_flight.json()["code"]) == (409, "idempotency_key_in_flight")
        assert in_flight.headers["Retry-After"] == "1"
        (row,) = await client.ledger(in_flight)
        assert (row["outcome"], row["reason"], row["job"]) == ("rejected", "idempotency_key_in_flight", None)

        overloaded = await waiting[1]
        assert (overloaded.status_code, overloaded.json()["code"]) == (503, "overloaded")
        assert int(overloaded.headers["Retry-After"]) >= 1
        assert "the same content" in overloaded.json()["detail"]
        assert clock() < 8
    assert await client.jobs(keyed["name"]) == await client.jobs(unkeyed["name"]) == []
    assert (await client.post(keyed, key=keyed["name"])).status_code == 202
    assert (await client.post(unkeyed)).status_code == 202


async def test_a_lock_that_is_let_go_lets_the_waiting_ones_go_on(client: Client, shared_database_url: str) -> None:
    body = unique()
    async with other_transaction(shared_database_url) as other:
        await other.execute("SELECT pg_advisory_xact_lock($1)", lock_key("key", DEFAULT_TENANT_NO, body["name"]))
        posted = asyncio.create_task(client.post(body, key=body["name"]))
        assert (await client.post(unique())).status_code == 202
        assert not posted.done()
    assert (await posted).status_code == 202


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_right_after_sending_has_its_jobs_stored(
    client: Client, service: Process, how: str
) -> None:
    bodies = [unique(metadata={"client": how}) for _ in range(20)]
    for body in bodies:
        send_and_go(service.url, body, how)

    async def missing() -> list[str]:
        return [body["name"] for body in bodies if not await client.jobs(body["name"])]

    async def all_are_stored() -> bool:
        return not await missing()

    await eventually_async(all_are_stored, seconds=5, what="all jobs are stored")


def send_and_go(url: str, body: object, how: str) -> None:
    content = orjson.dumps(body)
    where = urlsplit(url)
    lines = ("POST /jobs HTTP/1.1", f"Host: {where.netloc}", "Content-Type: application/json")
    head = "\r\n".join((*lines, f"Content-Length: {len(content)}", "", ""))
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(head.encode() + content)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
