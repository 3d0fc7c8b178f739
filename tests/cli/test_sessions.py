"""`breakwater sessions`: who is signed in to the pages, and signing somebody out."""

import json
from collections.abc import Callable

import pytest

from db.page_sessions import NewSession, SubjectOwner, open_session
from domain.scopes import Scope
from tests.support.access import AsKey, make_key
from tests.support.connections import database_connections
from tests.support.page_sessions import open_for_subject, sign_in
from tests.support.processes import Ended, run_command
from tests.support.service import Process, api_client
from tests.support.waiting import eventually_async

ENDINGS = (
    "UPDATE page_sessions SET expires_at = now()",
    "UPDATE page_sessions SET last_used_at = now() - interval '2 hours'",
    "UPDATE api_keys SET revoked_at = now()",
    "UPDATE api_keys SET expires_at = now()",
    "UPDATE api_key_secrets SET expires_at = now()",
)


@pytest.fixture
def breakwater(database_url: str, redis_url: str) -> Callable[..., Ended]:
    """The command on these stores."""
    environment = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    return lambda *arguments: run_command(*arguments, environment=environment)


async def test_a_session_is_listed_and_ended_within_a_second(
    breakwater: Callable[..., Ended], start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        key = await make_key(client.database, Scope.JOBS_READ)
        session = await sign_in(client.http, key)
        owner = SubjectOwner("https://id.example", "ann", frozenset({"jobs:read"}))
        await open_session(client.database, NewSession("000000000000", b"another", 1, owner, 60))
        other, own = breakwater("sessions", "list").stdout.splitlines()
        assert other.startswith("000000000000  default  oidc:ann  since 20")
        session_id, *shown = own.split("  ")
        assert shown[:2] == ["default", f"key:{key.split('_')[1]}"]
        listed = [json.loads(line) for line in breakwater("sessions", "list", "--json").stdout.splitlines()]
        assert [(each["subject"], each["key_id"]) for each in listed] == [("ann", None), (None, key.split("_")[1])]
        assert session.secret not in json.dumps(listed)

        assert breakwater("sessions", "end", session_id).stdout == f"Session {session_id} has ended.\n"

        async def is_refused() -> bool:
            return (await session.get("/jobs")).status_code == 401

        await eventually_async(is_refused, seconds=5, what="the session has ended")
        again = breakwater("sessions", "end", session_id)
        assert (again.returncode, "sessions list" in again.stderr) == (1, True)
        entries = await client.database.fetch(
            "SELECT target, outcome, code FROM audit_entries WHERE action = 'sessions end' ORDER BY entry_no"
        )
        assert [(json.loads(target), outcome, code) for target, outcome, code in entries] == [
            ({"session_id": session_id}, "done", None),
            ({"session_id": session_id}, "refused", "not_found"),
        ]


async def test_an_administrator_lists_and_ends_sessions_by_the_api(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    async with api_client(start_api(database_url, redis_url, auth="keys"), database_url) as client:
        key = await make_key(client.database, Scope.JOBS_READ)
        session = await sign_in(client.http, key)
        for number in range(3):
            await open_for_subject(client.database, f"user-{number}")
        admin = AsKey(client.http, await make_key(client.database, Scope.ADMIN))
        listed, path = [], "/sessions?limit=3"
        while path:
            page = (await admin.get(path)).json()
            listed += page["items"]
            path = page["next_cursor"] and f"/sessions?limit=3&cursor={page['next_cursor']}"
        assert [each["id"] for each in listed] == sorted(each["id"] for each in listed)
        assert sorted(str(each["subject"]) for each in listed) == ["None", "user-0", "user-1", "user-2"]
        [own] = [each for each in listed if each["key_id"] == key.split("_")[1]]
        assert session.secret not in json.dumps(listed)

        ended = await admin.post(f"/sessions/{own['id']}/end")
        assert (ended.status_code, ended.json()) == (200, {"id": own["id"]})

        async def is_refused() -> bool:
            return (await session.get("/jobs")).status_code == 401

        await eventually_async(is_refused, seconds=5, what="the session has ended")
        assert (await admin.post(f"/sessions/{own['id']}/end")).json()["code"] == "not_found"
        assert own["id"] not in (await admin.get("/sessions")).text
        other = AsKey(client.http, await make_key(client.database, Scope.OPERATE))
        assert (await other.get("/sessions")).json()["code"] == "scope_missing"


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_session_that_has_ended_isnt_listed(
    breakwater: Callable[..., Ended], database_url: str, ending: str
) -> None:
    async with database_connections(database_url) as (connection,):
        await make_key(connection)
        await connection.execute(
            """
            INSERT INTO page_sessions (digest, id, tenant_no, secret_digest, expires_at)
            SELECT s.digest, 'a-session', 1, s.digest, now() + interval '1 hour' FROM api_key_secrets AS s
            """
        )
        assert breakwater("sessions", "list").stdout.startswith("a-session")
        await connection.execute(ending)
    assert not breakwater("sessions", "list").stdout
