"""Sessions of pages: opened by a key, carried by a cookie, good for what the key may do, and ended in time."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import orjson
import pytest

from api import page_sessions
from api.authentication import Authenticator
from api.refusal_log import RefusalLog
from db.engine import Connection
from db.page_sessions import MOST_OF_OWNER
from domain.addresses import read_hosts
from domain.key_limits import KeyLimits
from domain.page_sessions import SessionSecret
from domain.scopes import Scope
from tests.support.access import bearer, make_key, make_tenant
from tests.support.job_seeds import Seeds
from tests.support.page_sessions import COOKIE, SignedIn, opened, secret_in, send_key, sign_in
from tests.support.reading_app import replace_services
from tests.support.service import Process, api_client, unique

ENDED_WITHIN_SECONDS = 1.0


@pytest.fixture
async def keyed(reader: httpx2.AsyncClient, seeds: Seeds) -> httpx2.AsyncClient:
    """A client of an app that asks for keys, in the test's own process."""
    services = reader.app.state.services  # type: ignore[attr-defined]
    refusal_log = RefusalLog(seeds.engine, worker_no=services.worker_no, is_keyed=True)
    replace_services(reader, authenticator=Authenticator(seeds.engine, None), refusal_log=refusal_log)
    return reader


@pytest.fixture
async def submitting(keyed: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Let submissions be stored."""
    task = asyncio.create_task(keyed.app.state.services.submissions.run())  # type: ignore[attr-defined]
    yield
    task.cancel()


def key_id(key: str) -> str:
    return key.split("_")[1]


def forget(keyed: httpx2.AsyncClient, session: SignedIn) -> None:
    """Have the app look the session up again; a second's wait does the same."""
    keyed.app.state.services.authenticator.forget(SessionSecret(session.secret))  # type: ignore[attr-defined]


async def entries(keyed: httpx2.AsyncClient, rows: Connection) -> list[dict[str, Any]]:
    await keyed.app.state.services.refusal_log.close()  # type: ignore[attr-defined]
    admin = await make_key(rows, Scope.ADMIN)
    items: list[dict[str, Any]] = (await keyed.get("/audit-log", headers=bearer(admin))).json()["items"]
    return items


async def test_a_page_asks_to_sign_in_and_then_goes_on(keyed: httpx2.AsyncClient, rows: Connection):
    asked = await keyed.get("/ui?tab=a%26b")
    assert asked.status_code == 303
    form = await keyed.get(asked.headers["Location"])
    assert '<input type="hidden" name="next" value="/ui?tab=a%26b">' in form.text
    key = await make_key(rows, Scope.JOBS_READ)
    answer = await send_key(keyed, key, onward="/ui?tab=a%26b")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui?tab=a%26b")
    shown = await opened(keyed, secret_in(answer))
    page = await shown.get("/ui")
    assert key_id(key) in page.text
    assert "jobs:read" in page.text


async def test_the_cookie_has_every_attribute(keyed: httpx2.AsyncClient, rows: Connection):
    answer = await send_key(keyed, await make_key(rows))
    value, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert re.fullmatch(rf"{COOKIE}=[\w-]{{43}}", value)
    assert {each.lower() for each in attributes} == {"secure", "httponly", "samesite=lax", "path=/"}


async def test_only_the_digest_of_a_session_is_stored(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows))
    for table in await rows.fetch("SELECT relname FROM pg_stat_user_tables"):
        for row in await rows.fetch(f'SELECT t::text AS row FROM "{table["relname"]}" AS t'):
            assert session.secret not in row["row"], table["relname"]


async def test_a_session_may_do_what_its_key_may(keyed: httpx2.AsyncClient, rows: Connection, submitting: None):
    await make_tenant(rows, "acme")
    session = await sign_in(keyed, await make_key(rows, Scope.JOBS_READ, Scope.JOBS_WRITE, tenant="acme"))
    theirs = await make_key(rows)
    hidden = (await keyed.post("/jobs", json=unique(), headers=bearer(theirs))).json()["job"]["id"]
    posted = await session.post("/jobs", unique())
    assert posted.status_code == 202, posted.text
    own = posted.json()["job"]["id"]
    assert [job["id"] for job in (await session.get("/jobs")).json()["items"]] == [own]
    assert (await session.get(f"/jobs/{hidden}")).status_code == 404
    refused = await session.post(f"/jobs/{own}/cancel")
    assert (refused.status_code, refused.json()["scope"]) == (403, "controls")


async def test_scopes_are_looked_up(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows, Scope.JOBS_READ))
    assert (await session.get("/jobs")).status_code == 200
    await rows.execute("UPDATE api_keys SET scopes = '{controls}'")
    forget(keyed, session)
    assert (await session.get("/jobs")).status_code == 403


async def test_a_header_beats_the_cookie(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows))
    for header, status in (
        (bearer(await make_key(rows, Scope.JOBS_READ)), 200),
        (bearer(await make_key(rows, Scope.CONTROLS)), 403),
        ({"Authorization": "Bearer bw_wrong"}, 401),
        ({"Authorization": ""}, 401),
    ):
        assert (await keyed.get("/jobs", headers={**session.cookie, **header})).status_code == status
    twice = [("Cookie", f"{COOKIE}={session.secret}"), ("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    assert (await keyed.get("/jobs", headers=twice)).status_code == 401
    paused = await keyed.post(
        "/regions/us-east/pause", headers={**session.cookie, **bearer(await make_key(rows, Scope.OPERATE))}
    )
    assert paused.status_code == 200  # by the key, which needs no token of the session


@pytest.mark.parametrize("given", [None, "", "wrong", "another session's"])
async def test_what_changes_something_needs_the_sessions_token(
    keyed: httpx2.AsyncClient, rows: Connection, given: str | None
):
    session = await sign_in(keyed, await make_key(rows))
    other = await sign_in(keyed, await make_key(rows))
    token = other.token if given == "another session's" else given
    headers = session.cookie if token is None else {**session.cookie, "X-CSRF-Token": token}
    for content in ({}, {"json": {}}, {"data": {"csrf_token": session.token}}):
        answer = await keyed.post("/regions/us-east/pause", headers=headers, **content)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_token_required")
    assert (await session.post("/regions/us-east/pause")).status_code == 200
    answer = await keyed.post("/ui/sign-out", headers=headers, data={"csrf_token": token or ""})
    assert (answer.status_code, "csrf_token_required" in answer.text) == (403, True)
    assert (await session.get("/ui")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
async def test_another_sites_page_can_use_no_session(
    keyed: httpx2.AsyncClient, rows: Connection, headers: dict[str, str]
):
    session = await sign_in(keyed, await make_key(rows))
    with_token = {**session.cookie, "X-CSRF-Token": session.token, **headers}
    for path in ("/regions/us-east/pause", "/ui/sign-out", "/ui/sign-in"):
        answer = await keyed.post(path, data={"csrf_token": session.token}, headers=with_token)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert (await session.get("/ui")).status_code == 200


async def test_a_new_sign_in_is_a_new_session_and_ends_the_one_before(keyed: httpx2.AsyncClient, rows: Connection):
    key = await make_key(rows)
    chosen = "a" * 43
    first = secret_in(await send_key(keyed, key, cookie=chosen))
    second = secret_in(await send_key(keyed, key, cookie=first))
    assert len({chosen, first, second}) == 3
    assert await rows.fetchval("SELECT count(*) FROM page_sessions") == 1
    for secret, status in ((chosen, 401), (first, 401), (second, 200)):
        answer = await keyed.get("/jobs", headers={"Cookie": f"{COOKIE}={secret}"})
        assert answer.status_code == status


async def test_the_session_before_is_served_no_more_once_somebody_signs_in_anew(
    keyed: httpx2.AsyncClient, rows: Connection
):
    before = await sign_in(keyed, await make_key(rows))
    assert (await before.get("/jobs")).status_code == 200  # so it was looked up a moment ago
    await send_key(keyed, await make_key(rows), cookie=before.secret)
    assert (await before.get("/jobs")).status_code == 401


@pytest.mark.parametrize("given", ["", "x", "a" * 44, "ä" * 43, "two"])
async def test_a_cookie_that_is_no_session_is_refused(keyed: httpx2.AsyncClient, rows: Connection, given: str):
    session = await sign_in(keyed, await make_key(rows))
    value = f"{COOKIE}={session.secret}; {COOKIE}={session.secret}" if given == "two" else f"{COOKIE}={given}"
    answer = await keyed.get("/jobs", headers=[(b"cookie", value.encode())])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_signing_out_ends_the_session(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows))
    answer = await session.send_form("/ui/sign-out", csrf_token=session.token)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/sign-in")
    assert "max-age=0" in answer.headers["Set-Cookie"].lower()
    assert (await session.get("/jobs")).status_code == 401
    assert await rows.fetchval("SELECT count(*) FROM page_sessions") == 0
    again = await session.send_form("/ui/sign-out", csrf_token=session.token)  # of another tab
    assert (again.status_code, again.headers["Location"]) == (303, "/ui/sign-in")


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE page_sessions SET expires_at = now()",
        "UPDATE page_sessions SET last_used_at = now() - interval '61 minutes'",
        "UPDATE api_keys SET revoked_at = now()",
        "UPDATE api_keys SET expires_at = now()",
        "UPDATE api_key_secrets SET expires_at = now()",
        "DELETE FROM page_sessions",
    ],
)
async def test_a_session_ends_with_its_time_and_its_key(keyed: httpx2.AsyncClient, rows: Connection, ending: str):
    session = await sign_in(keyed, await make_key(rows))
    await rows.execute(ending)
    forget(keyed, session)
    assert (await session.get("/jobs")).json()["code"] == "unauthenticated"
    page = await session.get("/ui")
    assert (page.status_code, page.headers["Location"]) == (303, "/ui/sign-in?next=%2Fui")


async def test_a_session_lives_while_it_is_used(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows))
    for _ in range(3):
        await rows.execute("UPDATE page_sessions SET last_used_at = last_used_at - interval '40 minutes'")
        forget(keyed, session)
        assert (await session.get("/jobs")).status_code == 200
    assert await rows.fetchval("SELECT now() - last_used_at < interval '1 minute' FROM page_sessions")


async def test_a_revoked_key_ends_its_sessions_in_every_api_within_a_second_without_redis(
    start_api: Callable[..., Process], database_url: str
):
    async with AsyncExitStack() as stack:
        nowhere = "redis://127.0.0.1:1"
        apis = [start_api(database_url, nowhere, auth="keys") for _ in range(2)]
        clients = [await stack.enter_async_context(api_client(api, database_url)) for api in apis]
        loop = asyncio.get_running_loop()
        admin = await make_key(clients[0].database, Scope.ADMIN)
        key = await make_key(clients[0].database, Scope.JOBS_READ)
        session = await sign_in(clients[0].http, key)
        out = await sign_in(clients[0].http, await make_key(clients[0].database, Scope.JOBS_READ))

        async def use_until_refused(http: httpx2.AsyncClient, used: SignedIn) -> float:
            while (await http.get("/jobs", headers=used.cookie)).status_code == 200:
                pass
            return loop.time()

        for client in clients:
            for used in (session, out):
                assert (await client.http.get("/jobs", headers=used.cookie)).status_code == 200
        users = [asyncio.create_task(use_until_refused(client.http, session)) for client in clients]
        revoked = await clients[0].http.post(f"/keys/{key_id(key)}/revoke", headers=bearer(admin))
        assert revoked.status_code == 200
        committed = loop.time()
        assert max(await asyncio.gather(*users)) - committed < ENDED_WITHIN_SECONDS
        users = [asyncio.create_task(use_until_refused(client.http, out)) for client in clients]
        assert (await out.send_form("/ui/sign-out", csrf_token=out.token)).status_code == 303
        committed = loop.time()
        assert max(await asyncio.gather(*users)) - committed < ENDED_WITHIN_SECONDS


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "typed"), ("bw_x", "isn&#39;t an API key"), ("revoked", "revoked"), ("<script>", "isn&#39;t an API key")],
)
async def test_a_wrong_key_gets_the_form_again(keyed: httpx2.AsyncClient, rows: Connection, text: str, told: str):
    if text == "revoked":
        text = await make_key(rows)
        await rows.execute("UPDATE api_keys SET revoked_at = now()")
    answer = await send_key(keyed, text)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (401, False)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'role="alert"' in answer.text
    assert told in answer.text or told == "typed"
    assert not text or text not in answer.text.replace("bw_</code>", "")
    [entry] = [entry for entry in await entries(keyed, rows) if entry["action"] == "POST /ui/sign-in"]
    assert (entry["outcome"], entry["code"], entry["tenant"]) == ("refused", "unauthenticated", None)


async def test_the_audit_log_names_the_session_of_a_submission_whatever_became_of_it(
    keyed: httpx2.AsyncClient, rows: Connection, submitting: None
):
    session = await sign_in(keyed, await make_key(rows))
    session_id = await rows.fetchval("SELECT id FROM page_sessions")
    body = unique()
    for given, status in ((body, 202), (body, 200), ({}, 422)):
        assert (await session.post("/jobs", given)).status_code == status
    found = [entry for entry in await entries(keyed, rows) if entry["action"] == "POST /jobs"]
    assert [entry["outcome"] for entry in found] == ["refused", "done", "done"]
    assert {entry["session_id"] for entry in found} == {session_id}


async def test_the_audit_log_names_the_session(keyed: httpx2.AsyncClient, rows: Connection):
    key = await make_key(rows)
    session = await sign_in(keyed, key)
    session_id = await rows.fetchval("SELECT id FROM page_sessions")
    await session.post("/regions/us-east/pause")
    await keyed.post("/regions/us-east/resume", headers=session.cookie)
    await session.send_form("/ui/sign-out", csrf_token=session.token)
    found = [entry for entry in reversed(await entries(keyed, rows)) if entry["session_id"] is not None]
    assert [(entry["action"], entry["outcome"]) for entry in found] == [
        ("POST /ui/sign-in", "done"),
        ("POST /regions/{name}/pause", "done"),
        ("POST /ui/sign-out", "done"),
        ("POST /regions/{name}/resume", "refused"),
    ]
    assert {(entry["key_id"], entry["tenant"], entry["session_id"]) for entry in found} == {
        (key_id(key), "default", session_id)
    }


@pytest.mark.parametrize(
    "onward",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/\\elsewhere.example/",
        "/ui\\@elsewhere.example",
        "\t//elsewhere.example",
        "/ui/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "/uisance",
        "/jobs",
        "",
        "/ui/" + "a" * 3000,
    ],
)
async def test_signing_in_leads_to_own_pages_only(keyed: httpx2.AsyncClient, rows: Connection, onward: str):
    key = await make_key(rows)
    answer = await send_key(keyed, key, onward=onward)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
    assert answer.headers.get_list("Set-Cookie") == [answer.headers["Set-Cookie"]]
    session = await opened(keyed, secret_in(answer))
    signed_in = await keyed.get("/ui/sign-in", params={"next": onward}, headers=session.cookie)
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/ui")
    form = await keyed.get("/ui/sign-in", params={"next": onward})
    assert 'name="next" value="/ui"' in form.text


async def test_a_session_has_the_limits_of_its_key(keyed: httpx2.AsyncClient, rows: Connection):
    key = await make_key(rows, limits=KeyLimits(requests_per_second=2))
    session = await sign_in(keyed, key)
    statuses = {(await session.get("/jobs")).status_code for _ in range(10)}
    assert statuses <= {200, 429}
    assert 429 in statuses
    assert (await send_key(keyed, key)).status_code == 429


async def test_one_key_has_a_bounded_number_of_sessions_and_those_that_expired_go(
    keyed: httpx2.AsyncClient, rows: Connection
):
    expired = await sign_in(keyed, await make_key(rows))
    await rows.execute("UPDATE page_sessions SET expires_at = now() - interval '1 second'")
    key = await make_key(rows)
    sessions = [secret_in(await send_key(keyed, key)) for _ in range(MOST_OF_OWNER + 2)]
    left = {bytes(row["digest"]) for row in await rows.fetch("SELECT digest FROM page_sessions")}
    assert left == {SessionSecret(secret).digest for secret in sessions[2:]}
    assert SessionSecret(expired.secret).digest not in left


async def test_sign_ins_wait_for_their_turn(
    keyed: httpx2.AsyncClient, rows: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(page_sessions, "WAIT_SECONDS", 0.05)
    sessions = keyed.app.state.services.page_sessions  # type: ignore[attr-defined]
    key = await make_key(rows)
    async with AsyncExitStack() as busy:
        for _ in range(page_sessions.SIGN_INS_AT_ONCE):
            await busy.enter_async_context(sessions.attempt("127.0.0.1"))
        answer = await send_key(keyed, key)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (await send_key(keyed, key)).status_code == 303


async def test_a_key_isnt_taken_by_plain_http(
    keyed: httpx2.AsyncClient, rows: Connection, monkeypatch: pytest.MonkeyPatch
):
    allowed = read_hosts("jobs.example")
    monkeypatch.setattr(keyed.app.state, "allowed_hosts", allowed, raising=False)  # type: ignore[attr-defined]
    key = await make_key(rows)
    elsewhere = {"Host": "jobs.example"}
    form = await keyed.get("/ui/sign-in", headers=elsewhere)
    assert ("https://" in form.text, '<input id="key"' in form.text) == (True, False)
    answer = await keyed.post("/ui/sign-in", data={"key": key}, headers=elsewhere)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "insecure_connection" in answer.text
    # A browser says by Fetch metadata that its address is https, whatever the proxy says.
    by_tls = {**elsewhere, "Sec-Fetch-Site": "same-origin"}
    assert (await keyed.post("/ui/sign-in", data={"key": key}, headers=by_tls)).status_code == 303


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"json": {"key": "x"}}, 415),
        ({"files": {"key": b"x"}}, 415),
        ({"data": {"key": ["a", "b"]}}, 400),
        ({"data": {f"field-{n}": "x" for n in range(60)}}, 400),
        ({"content": b"key=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": {"key": "x" * 2**20}}, 413),
    ],
)
async def test_a_form_of_another_shape_is_refused(keyed: httpx2.AsyncClient, content: Any, status: int):
    answer = await keyed.post("/ui/sign-in", **content)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")


async def test_problems_of_pages_are_pages(keyed: httpx2.AsyncClient, rows: Connection):
    session = await sign_in(keyed, await make_key(rows))
    missing = await session.get("/ui/<nothing>")
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "unknown_path" in missing.text
    program = await session.get("/nothing")
    assert (program.status_code, orjson.loads(program.content)["code"]) == (404, "unknown_path")


async def test_pages_of_a_session_are_kept_nowhere_and_run_nothing_of_others(
    keyed: httpx2.AsyncClient, rows: Connection
):
    session = await sign_in(keyed, await make_key(rows))
    for page in (await session.get("/ui"), await keyed.get("/ui/sign-in"), await session.get("/ui/nothing")):
        assert page.headers["Cache-Control"] == "no-store"
        policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "img-src": "'self'",
            "style-src": "'self'",
            "script-src": "'self'",
            "connect-src": "'self'",
        }
        assert not re.search(r'<script(?! src="/static/)|<style|\sstyle=|\son\w+=', page.text)


async def test_without_authentication_there_is_nobody_to_sign_in(reader: httpx2.AsyncClient):
    assert (await reader.get("/ui")).status_code == 200
    for answer in (
        await reader.get("/ui/sign-in"),
        await reader.post("/ui/sign-in", data={"key": secrets.token_hex()}),
        await reader.post("/ui/sign-out"),
    ):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
