"""While PostgreSQL may not keep tenants apart, no tenant is served; once that is mended, all are."""

import asyncio

import asyncpg
import httpx2
import pytest
from structlog.testing import capture_logs

from api.authentication import Authenticator
from api.role_check import RoleCheck
from db.engine import Connection, Engine, create_engine
from domain.scopes import Scope
from tests.support.access import bearer, make_key
from tests.support.reading_app import replace_services
from tests.support.served_app import serve_app
from tests.support.waiting import eventually_async

OPEN = "CREATE POLICY open ON jobs USING (true)"
MENDED = "DROP POLICY open ON jobs"


@pytest.fixture
async def check(reader: httpx2.AsyncClient, engine: Engine, rows: Connection) -> RoleCheck:
    """The check of an app that asks for keys; its client has a tenant's."""
    check = RoleCheck(engine)
    replace_services(reader, authenticator=Authenticator(engine, None), role_check=check)
    reader.headers.update(bearer(await make_key(rows, Scope.JOBS_READ)))
    return check


async def codes(reader: httpx2.AsyncClient) -> tuple[object, object]:
    """The codes of /jobs and /readyz; None for 200."""
    answers = [await reader.get(path) for path in ("/jobs", "/readyz")]
    assert {answer.status_code for answer in answers} <= {200, 503}
    first, second = (answer.json().get("code") for answer in answers)
    return first, second


async def test_a_change_is_found_by_the_next_check_and_serving_goes_on_once_it_is_mended(
    check: RoleCheck, reader: httpx2.AsyncClient, rows: Connection
) -> None:
    assert await codes(reader) == (None, None)
    await rows.execute(OPEN)
    with capture_logs() as logs:
        await check.check()
        await check.check()
        assert await codes(reader) == ("roles_changed", "roles_changed")
        answer = await reader.get("/jobs")
        assert answer.headers["Retry-After"] == "2"
        assert "open" not in answer.text  # tenants learn nothing of it
        await rows.execute(MENDED)
        await check.check()
    assert await codes(reader) == (None, None)
    assert [(line["event"], line.get("faults")) for line in logs] == [
        ("roles_changed", ["The policy `open` on `jobs` was added. Run `DROP POLICY open ON jobs;`."]),
        ("roles_mended", None),
    ]


async def test_what_was_changed_before_the_first_check_is_found_by_the_first_request(
    check: RoleCheck, reader: httpx2.AsyncClient, rows: Connection
) -> None:
    """As when PostgreSQL was away at the start, where nothing was checked."""
    await rows.execute(OPEN)
    assert check.faults is None
    assert (await reader.get("/jobs")).json()["code"] == "roles_changed"


async def test_no_tenant_is_served_before_a_check_was_possible(
    check: RoleCheck, reader: httpx2.AsyncClient, engine: Engine
) -> None:
    away = create_engine("postgresql://nobody@127.0.0.1:1/none")
    replace_services(reader, role_check=RoleCheck(away))
    assert (await reader.get("/jobs")).json()["code"] == "database_unavailable"
    await away.dispose()


async def test_a_look_that_a_locked_table_holds_up_fails_soon_and_once_for_all_that_wait(
    reader: httpx2.AsyncClient, check: RoleCheck, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[None] = []

    async def counted() -> None:
        looked.append(None)
        await RoleCheck.check(check)

    monkeypatch.setattr(check, "check", counted)
    async with rows.transaction():
        await rows.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await check.check()
        answers = await asyncio.gather(*(reader.get("/jobs") for _ in range(10)))
    assert {(each.status_code, each.json()["code"]) for each in answers} == {(503, "database_unavailable")}
    assert len(looked) < len(answers)
    assert await codes(reader) == (None, None)


async def test_a_stream_of_events_ends_once_a_change_is_found(
    check: RoleCheck, reader: httpx2.AsyncClient, rows: Connection
) -> None:
    headers = {**reader.headers, "Accept": "text/event-stream"}
    async with serve_app(reader.app) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:  # type: ignore[attr-defined]
        async with http.stream("GET", "/events") as answer:
            assert answer.status_code == 200
            await rows.execute(OPEN)
            await check.check()
            async with asyncio.timeout(10):
                assert [line async for line in answer.aiter_lines()] == ["retry: 1000", ""]
        assert (await http.get("/events")).json()["code"] == "roles_changed"


async def test_operators_are_served_meanwhile(check: RoleCheck, reader: httpx2.AsyncClient, rows: Connection) -> None:
    """They see the whole installation anyway, and have to mend it."""
    await rows.execute(OPEN)
    await check.check()
    reader.headers.update(bearer(await make_key(rows, Scope.OPERATE)))
    assert (await reader.get("/queue")).status_code == 200


async def test_a_missing_right_is_told_and_leaks_nothing(
    check: RoleCheck, reader: httpx2.AsyncClient, rows: Connection
) -> None:
    await rows.execute("CREATE POLICY narrow ON jobs AS RESTRICTIVE USING (true)")
    with capture_logs() as logs:
        await check.check()
    assert [line["event"] for line in logs] == ["rights_missing"]
    assert await codes(reader) == (None, "rights_missing")


async def test_it_is_looked_at_again_and_again(check: RoleCheck, rows: Connection, monkeypatch) -> None:
    """By the process's own background service, each minute, and sooner while something is amiss."""
    monkeypatch.setattr("api.role_check.EVERY_SECONDS", 0.05)
    monkeypatch.setattr("api.role_check.WHILE_AMISS_SECONDS", 0.05)

    async def leaks() -> bool:
        return check.leaks

    async def is_well() -> bool:
        return check.faults == []

    task = asyncio.create_task(check.run())
    await eventually_async(is_well, what="the first check")
    await rows.execute(OPEN)
    await eventually_async(leaks, what="the change is found")
    await rows.execute(MENDED)
    await eventually_async(is_well, what="it is mended")
    task.cancel()
