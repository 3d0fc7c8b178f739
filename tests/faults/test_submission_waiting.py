"""No submission waits behind another's lock; and an answer names the lock that its submission waited for."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from db import configurations
from db.submissions import lock_key
from db.tenants import DEFAULT_TENANT_NO
from submissions.deadlines import LOCK_DEADLINE_SECONDS
from tests.support.service import Client, Json, unique

WAITING = 128
OTHERS = 30
BURST = 5
PROMPT_SECONDS = 0.9
KEYS = (f"key-{secrets.token_hex(6)}", None, None)
INSERT_JOB = """
INSERT INTO jobs (tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
SELECT 1, i, 'inference', 'other', 'h1:', 1, 1, 1 FROM unnest($1::text[]) AS i
"""
INSERT_KEY = """
INSERT INTO idempotency_keys (tenant_no, key, body_hash, job_no, status_code, answer)
SELECT 1, i, 'b1:', 1, 202, '{}' FROM unnest($1::text[]) AS i
"""


@asynccontextmanager
async def somebody(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A stuck transaction, rolled back at the end."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def lock(holder: "asyncpg.Connection[asyncpg.Record]", kind: str, values: list[str]) -> None:
    numbers = [lock_key(kind, DEFAULT_TENANT_NO, value) for value in values]
    await holder.execute("SELECT pg_advisory_xact_lock(i) FROM unnest($1::bigint[]) AS i", numbers)


async def hash_of(client: Client, body: Json) -> str:
    return str((await client.post(body, dry_run=True)).json()["dedup"]["spec_hash"])


def with_id() -> Json:
    return unique(id=f"mine-{secrets.token_hex(6)}")


async def hold_contents(client: Client, holder: "asyncpg.Connection[asyncpg.Record]", bodies: list[Json]) -> None:
    await lock(holder, "spec", [await hash_of(client, body) for body in bodies])


async def hold_id_locks(_: Client, holder: "asyncpg.Connection[asyncpg.Record]", bodies: list[Json]) -> None:
    await lock(holder, "id", [body["id"] for body in bodies])


async def hold_key_locks(_: Client, holder: "asyncpg.Connection[asyncpg.Record]", bodies: list[Json]) -> None:
    await lock(holder, "key", [body["name"] for body in bodies])


async def insert_ids(_: Client, holder: "asyncpg.Connection[asyncpg.Record]", bodies: list[Json]) -> None:
    await holder.execute(INSERT_JOB, [body["id"] for body in bodies])


async def insert_keys(_: Client, holder: "asyncpg.Connection[asyncpg.Record]", bodies: list[Json]) -> None:
    await holder.execute(INSERT_KEY, [body["name"] for body in bodies])


async def prompt_seconds(client: Client) -> float:
    """How long it takes until a job without a held lock is accepted."""
    started = time.monotonic()
    assert (await client.post(unique())).status_code == 202
    return time.monotonic() - started


Hold = Callable[[Client, "asyncpg.Connection[asyncpg.Record]", list[Json]], Awaitable[None]]


@pytest.mark.parametrize(
    ("hold", "make", "has_key"),
    [
        (hold_contents, unique, False),
        (hold_id_locks, with_id, False),
        (hold_key_locks, unique, True),
        (insert_ids, with_id, False),
        (insert_keys, unique, True),
    ],
    ids=["contents", "ids", "keys", "rows-of-jobs", "rows-of-keys"],
)
@pytest.mark.alone
async def test_others_are_accepted_at_once_while_many_wait_for_a_lock(
    client: Client, shared_database_url: str, hold: Hold, make: Callable[[], Json], *, has_key: bool
) -> None:
    bodies = [make() for _ in range(WAITING)]
    async with somebody(shared_database_url) as holder:
        await hold(client, holder, bodies)
        waiting = [asyncio.create_task(client.post(body, key=body["name"] if has_key else None)) for body in bodies]
        # A submission amid such a burst may share a group with it, and waits until each of the group was tried.
        for _ in range(BURST):
            await prompt_seconds(client)
        seconds: list[float] = []
        while len(seconds) < OTHERS and not all(post.done() for post in waiting):
            seconds.append(await prompt_seconds(client))
        assert len(seconds) > OTHERS / 3
        assert sorted(seconds)[len(seconds) // 2] < PROMPT_SECONDS / 3
        assert max(seconds) < PROMPT_SECONDS
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} <= {202, 409, 503}


async def test_a_submission_that_waits_is_accepted_once_the_lock_is_released(
    client: Client, shared_database_url: str
) -> None:
    bodies = [with_id() for _ in range(WAITING)]
    async with somebody(shared_database_url) as holder:
        await insert_ids(client, holder, bodies)
        waiting = [asyncio.create_task(client.post(body)) for body in bodies]
        assert (await client.post(unique())).status_code == 202
    answers = await asyncio.gather(*waiting)
    assert Counter(answer.status_code for answer in answers) == {202: WAITING}


async def test_submissions_that_share_a_lock_wait_side_by_side(client: Client, shared_database_url: str) -> None:
    body = unique()
    spec_hash = await hash_of(client, body)
    async with somebody(shared_database_url) as holder:
        await lock(holder, "spec", [spec_hash])
        waiting = [asyncio.create_task(client.post(body)) for _ in range(10)]
        assert (await client.post(unique())).status_code == 202
        waiting += [asyncio.create_task(client.post(body)) for _ in range(10)]
        assert (await client.post(unique())).status_code == 202
    outcomes = Counter(answer.json()["outcome"] for answer in await asyncio.gather(*waiting))
    assert outcomes == {"created": 1, "joined": 19}


@pytest.mark.parametrize(
    ("kind", "code", "matched_on"),
    [
        ("key", "idempotency_key_in_flight", None),
        ("id", "submission_in_flight", "id"),
        ("spec", "submission_in_flight", "spec_hash"),
    ],
)
async def test_a_conflict_names_the_key_id_or_content_in_the_way(
    client: Client, shared_database_url: str, kind: str, code: str, matched_on: str | None
) -> None:
    body = with_id() if kind == "id" else unique()
    values = {"key": body["name"], "id": body.get("id"), "spec": await hash_of(client, body)}
    async with somebody(shared_database_url) as holder:
        await lock(holder, kind, [values[kind]])
        refused = await client.post(body, key=body["name"])
    assert (refused.status_code, refused.json()["code"], refused.json().get("matched_on")) == (409, code, matched_on)
    assert ("Idempotency-Key" in refused.json()["detail"]) == (kind == "key")
    assert refused.headers["Retry-After"] == "1"
    (row,) = await client.ledger(refused)
    assert (row["outcome"], row["reason"], row["status_code"]) == ("rejected", code, 409)
    assert (await client.post(body, key=body["name"])).status_code == 202


async def test_while_a_configuration_is_applied_submissions_wait_for_that_and_not_for_their_key(
    client: Client, shared_database_url: str
) -> None:
    """Those that need no lock of their own wait too: the configuration is being replaced."""
    bodies = [unique(), unique(on_duplicate="create"), unique(id=f"mine-{secrets.token_hex(6)}")]
    async with somebody(shared_database_url) as holder:
        await configurations.lock(holder)
        posts = [asyncio.create_task(client.post(body, key=key)) for body, key in zip(bodies, KEYS, strict=True)]
        answered, _ = await asyncio.wait(posts, timeout=LOCK_DEADLINE_SECONDS + 0.3)
        assert not answered
    assert [(await post).status_code for post in posts] == [202, 202, 202]


async def test_many_refused_specs_are_recorded_together(client: Client) -> None:
    body = unique(regions=["mars"])
    answers = await asyncio.gather(*(client.post(body) for _ in range(100)))
    assert Counter(answer.status_code for answer in answers) == {422: 100}
    request_ids = [answer.headers["X-Request-ID"] for answer in answers]
    rows = await client.database.fetch(
        "SELECT reason, xmin::text AS written_by FROM submissions WHERE request_id = ANY ($1)", request_ids
    )
    assert Counter(row["reason"] for row in rows) == {"unknown_region": 100}
    assert len({row["written_by"] for row in rows}) < 50
