"""The audit log: each request that changes something leaves one entry with its effect, and so does each refused one."""

import asyncio
import csv
import io
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import orjson
import pytest

from api.authentication import Authenticator
from api.callers import Caller
from api.refusal_log import MOST_WAITING_OF_A_KEY, MOST_WAITING_OF_A_TENANT, MOST_WAITING_WITHOUT_KEY, RefusalLog
from db.submissions import lock_key
from db.tenants import DEFAULT_TENANT_NO
from domain.scopes import Scope
from domain.tenant_names import DEFAULT_TENANT
from runtime.tasks import end_tasks
from tests.support.access import AsKey, bearer, make_key, make_tenant
from tests.support.connections import database_connections
from tests.support.controls import end_unknown, exhausted
from tests.support.description import api_description
from tests.support.job_seeds import WORKER_ID, Seeds, failed
from tests.support.metrics import fleet_value, scrape_samples
from tests.support.page_sessions import open_for_subject
from tests.support.reading_app import every_item, replace_services
from tests.support.service import Client, Process, api_client, unique
from tests.support.waiting import eventually_async

Rows = Any
PATHS = api_description()["paths"]
CHANGING = sorted(
    (method.upper(), path)
    for path, methods in PATHS.items()
    for method in methods
    if method not in {"get", "parameters"}
)
BODIES: Mapping[str, Any] = {
    "/tenants": {"name": "made"},
    "/tenants/{tenant}/limits": {"cells_per_day": 7},
    "/keys": {"name": "made", "tenant": "default", "scopes": ["jobs:read"]},
    "/executions/{execution_id}/resolve": {"status": "failed"},
}
OF_A_TENANT = ("{job_id}", "{execution_id}")
BULK = ("/jobs/cancel", "/jobs/retry", "/queue/dead/replay")
LEFT = """
SELECT (SELECT count(*) FROM audit_entries WHERE request_id = $1) AS entries,
    (SELECT count(*) FROM submissions WHERE request_id = $1) AS submissions
"""


def scope_of(method: str, path: str) -> Scope:
    return Scope(PATHS[path][method.lower()]["security"][0]["api_key"][0])


def key_id(key: str) -> str:
    return key.split("_")[1]


@dataclass(frozen=True)
class Audited:
    """An app that asks for keys, in the test's own process, and what its requests leave in the log."""

    http: httpx2.AsyncClient
    rows: Rows
    seeds: Seeds

    @property
    def refusal_log(self) -> RefusalLog:
        log: RefusalLog = self.http.app.state.services.refusal_log  # type: ignore[attr-defined]
        return log

    async def send(
        self, method: str, at: str, *, headers: Mapping[str, str], body: Any = None
    ) -> tuple[httpx2.Response, list[dict[str, Any]]]:
        """Send a request; return its answer, and what the log shows of it."""
        request_id = secrets.token_hex(8)
        answer = await self.http.request(method, at, json=body, headers={**headers, "X-Request-ID": request_id})
        await self.refusal_log.close()
        return answer, await self.shown(request_id)

    async def shown(self, request_id: str) -> list[dict[str, Any]]:
        """What the log shows of a request, in which nothing is missing that is stored."""
        admin = await make_key(self.rows, Scope.ADMIN)
        listed = (await self.http.get("/audit-log?limit=200", headers=bearer(admin))).json()
        assert listed["next_cursor"] is None
        shown = [entry for entry in listed["items"] if entry["request_id"] == request_id]
        stored = await self.rows.fetchrow(LEFT, request_id)
        assert len(shown) == stored["entries"] + stored["submissions"]
        return shown

    async def target(self, path: str) -> str:
        """Make what a request to this path acts on; return the path with its ids."""
        job = await self.seeds.submit()
        if not path.endswith(("coordinate", "cancel")):
            await self.seeds.plan()
            batch = next(claimed for claimed in await self.seeds.claim() if claimed.job_no == job.job_no)
            if path.endswith("resolve"):
                await end_unknown(self.seeds, batch)
            elif path.endswith(("retry", "replay")):
                await self.seeds.record(exhausted(batch) if path.endswith("replay") else failed(batch))
        if path in BULK:
            wanted = f"job_id={job.id}" if "dead" in path else f"name={job.spec.name}"
            at, key = f"{path}?{wanted}", await make_key(self.rows, Scope.CONTROLS, Scope.OPERATE)
            matched = await self.http.post(f"{at}&dry_run=true", headers=bearer(key))
            return f"{at}&as_of={matched.json()['as_of']}"
        letter = await self.rows.fetchval("SELECT max(dead_letter_no) FROM dead_letters")
        key = key_id(await make_key(self.rows, Scope.JOBS_READ))
        name = "us-east" if "regions" in path else "echo"
        return path.format(
            job_id=job.id,
            batch_id=1,
            execution_id=f"{job.job_no}-0-0-0",
            dead_letter_id=letter,
            worker_id=WORKER_ID,
            name=name,
            key_id=key,
            tenant="default",
            session_id=await open_for_subject(self.rows),
        )


@pytest.fixture
async def audited(reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows) -> AsyncIterator[Audited]:
    services = reader.app.state.services  # type: ignore[attr-defined]
    refusal_log = RefusalLog(seeds.engine, worker_no=services.worker_no, is_keyed=True)
    replace_services(reader, authenticator=Authenticator(seeds.engine, None), refusal_log=refusal_log)
    submitting = asyncio.create_task(services.submissions.run())
    yield Audited(reader, rows, seeds)
    await end_tasks([submitting])


def test_every_operation_that_changes_something_is_a_post() -> None:
    assert {method for method, _ in CHANGING} == {"POST"}
    assert len(CHANGING) >= 15


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_an_operation_leaves_one_entry_also_when_it_is_repeated(audited: Audited, method: str, path: str) -> None:
    key = await make_key(audited.rows, scope_of(method, path))
    at = await audited.target(path)
    body = unique() if path == "/jobs" else BODIES.get(path)
    headers = {**bearer(key), "Idempotency-Key": "once"}
    done, entries = await audited.send(method, at, headers=headers, body=body)
    assert done.status_code < 300, done.text
    [entry] = entries
    assert {name: entry[name] for name in ("action", "outcome", "status_code", "code")} == {
        "action": f"{method} {path}",
        "outcome": "done",
        "status_code": done.status_code,
        "code": None,
    }
    assert (entry["key_id"], entry["tenant"], entry["client"]) == (key_id(key), "default", "127.0.0.1")
    assert entry["account"] is None
    assert all(str(value) in at or str(value) in done.text for value in entry["target"].values())
    assert entry["target"], "it says what it acted on"

    again, entries = await audited.send(method, at, headers=headers, body=body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [(entry["outcome"], entry["status_code"]) for entry in entries] == [("replayed", again.status_code)]


async def test_every_refusal_of_an_operation_leaves_one_entry(audited: Audited) -> None:
    rows = audited.rows
    unknown = await make_key(rows)
    await rows.execute("DELETE FROM api_keys WHERE id = $1", key_id(unknown))
    await make_tenant(rows, "acme")
    for method, path in CHANGING:
        scope = scope_of(method, path)
        ours, theirs = await make_key(rows, scope), await make_key(rows, scope, tenant="acme")
        other = await make_key(rows, *(each for each in Scope if each is not scope))
        at = await audited.target(path)
        refused: list[tuple[int, str | None, str, Mapping[str, str]]] = [
            (401, None, at, {}),
            (401, key_id(unknown), at, bearer(unknown)),
            (403, key_id(other), at, bearer(other)),
            (400, key_id(ours), at, {**bearer(ours), "Idempotency-Key": "two words"}),
            (422, key_id(ours), f"{at}?planets=1", bearer(ours)),
        ]
        if any(name in path for name in OF_A_TENANT):
            refused.append((404, key_id(theirs), at, bearer(theirs)))
        for status, sender, to, headers in refused:
            body = unique() if path == "/jobs" else BODIES.get(path)
            answer, entries = await audited.send(method, to, headers=headers, body=body)
            assert answer.status_code == status, (path, answer.text)
            [entry] = entries
            assert (entry["action"], entry["outcome"]) == (f"{method} {path}", "refused"), path
            assert (entry["status_code"], entry["code"]) == (status, answer.json()["code"]), path
            assert (entry["key_id"], entry["client"]) == (sender, "127.0.0.1"), path
            assert (entry["tenant"] is None) == (status == 401), path


async def test_conflicts_leave_one_entry(audited: Audited) -> None:
    key = await make_key(audited.rows)
    job = await audited.seeds.submit()
    for method, at, body, status in (
        ("POST", "/tenants", {"name": "default"}, 409),
        ("POST", "/keys", {"name": "ci", "tenant": "nobody", "scopes": ["jobs:read"]}, 422),
        ("POST", "/jobs", unique(models=[]), 422),
        ("POST", "/jobs?dry_run=true", unique(models=[]), 422),
        ("POST", "/regions/nowhere/pause", None, 404),
        ("POST", f"/executions/{job.job_no}-0-0-0/resolve", {"status": "failed"}, 404),
    ):
        answer, entries = await audited.send(method, at, headers=bearer(key), body=body)
        assert answer.status_code == status, (at, answer.text)
        assert [(entry["outcome"], entry["code"]) for entry in entries] == [("refused", answer.json()["code"])], at
    async with audited.rows.transaction():
        await audited.rows.execute("SELECT pg_advisory_xact_lock($1)", lock_key("key", DEFAULT_TENANT_NO, "held"))
        headers = {**bearer(key), "Idempotency-Key": "held"}
        answer = await audited.http.post(f"/jobs/{job.id}/cancel", headers={**headers, "X-Request-ID": "held"})
    assert answer.status_code == 409
    await audited.refusal_log.close()
    assert [entry["code"] for entry in await audited.shown("held")] == ["idempotency_key_in_flight"]


async def test_reads_leave_an_entry_only_where_their_caller_may_not_make_them(audited: Audited) -> None:
    await make_tenant(audited.rows, "acme")
    job = await audited.seeds.submit()
    ours = await make_key(audited.rows, Scope.JOBS_READ)
    theirs = await make_key(audited.rows, Scope.JOBS_READ, tenant="acme")
    for at, headers, status, is_entered in (
        (f"/jobs/{job.id}", bearer(ours), 200, False),
        ("/jobs?limit=0", bearer(ours), 422, False),
        ("/nowhere", bearer(ours), 404, False),
        ("/livez", {}, 200, False),
        (f"/jobs/{job.id}", {}, 401, True),
        (f"/jobs/{job.id}/executions", bearer(ours), 403, True),
        (f"/jobs/{job.id}", bearer(theirs), 404, True),
        ("/metrics", bearer(theirs), 403, True),
    ):
        answer, entries = await audited.send("GET", at, headers=headers)
        assert (answer.status_code, len(entries)) == (status, is_entered), at


async def test_a_dry_run_and_a_request_without_a_route_leave_none(audited: Audited) -> None:
    key = await make_key(audited.rows)
    job = await audited.seeds.submit()
    for method, at, body in (
        ("POST", "/jobs?dry_run=true", unique()),
        ("POST", f"/jobs/{job.id}/retry?dry_run=true", None),
        ("POST", "/nowhere", None),
        ("DELETE", f"/jobs/{job.id}", None),
    ):
        _, entries = await audited.send(method, at, headers=bearer(key), body=body)
        assert entries == [], at


async def test_without_keys_actions_and_their_refusals_are_entered_with_the_address(
    reader: httpx2.AsyncClient, rows: Rows
) -> None:
    for at, status in (("/regions/us-east/pause", 200), ("/jobs/none/cancel", 404)):
        assert (await reader.post(at)).status_code == status
    assert (await reader.get("/jobs/none")).status_code == 404
    await reader.app.state.services.refusal_log.close()  # type: ignore[attr-defined]
    entries = await rows.fetch(
        "SELECT key_id, client, tenant_no, status_code FROM audit_entries WHERE client IS NOT NULL"
    )
    assert [tuple(entry) for entry in entries] == [(None, "127.0.0.1", 1, 200), (None, "127.0.0.1", 1, 404)]


async def test_an_entry_is_committed_by_the_transaction_of_its_action(reader: httpx2.AsyncClient, rows: Rows) -> None:
    assert (await reader.post("/regions/us-east/pause")).status_code == 200
    [transactions] = await rows.fetch(
        """
        SELECT e.xmin::text AS entry, o.xmin::text AS action
        FROM audit_entries AS e
        CROSS JOIN operations AS o
        WHERE e.client <> ''
        """
    )
    assert transactions["entry"] == transactions["action"]


async def test_an_action_whose_process_is_killed_before_its_entry_has_no_effect(
    own_client: Client, database_url: str
) -> None:
    job_id = (await own_client.post(unique())).json()["job"]["id"]
    async with database_connections(database_url, 2) as (holder, looker):
        hold = holder.transaction()
        await hold.start()
        await holder.execute("LOCK TABLE audit_entries IN SHARE MODE")
        cancelling = asyncio.create_task(own_client.http.post(f"/jobs/{job_id}/cancel"))

        async def waits() -> bool:
            return bool(await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually_async(waits, what="the action waits to enter itself")
        own_client.process.kill()
        await hold.rollback()
        await asyncio.gather(cancelling, return_exceptions=True)

        async def is_over() -> bool:
            return not await looker.fetchval(
                """
                SELECT count(*)
                FROM pg_stat_activity
                WHERE application_name LIKE 'breakwater-api%' AND state <> 'idle' AND datname = current_database()
                """
            )

        await eventually_async(is_over, what="the server has noticed")
        assert await looker.fetchval("SELECT status FROM jobs WHERE id = $1", job_id) == "queued"
        assert await looker.fetchval("SELECT count(*) FROM audit_entries WHERE client IS NOT NULL") == 0


async def test_refusals_are_entered_soon_and_when_the_process_ends(
    start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url, auth="keys")
    async with api_client(api, database_url) as client:

        async def entered() -> int:
            count: int = await client.database.fetchval("SELECT count(*) FROM audit_entries WHERE status_code = 401")
            return count

        async def is_entered() -> bool:
            return await entered() == 1

        assert (await client.http.get("/jobs")).status_code == 401
        await eventually_async(is_entered, what="the first refusal is entered")
        for _ in range(3):
            assert (await client.http.get("/jobs")).status_code == 401
        await asyncio.to_thread(api.stop)
        assert await entered() == 4


async def test_a_flood_without_keys_is_bounded_and_counted(audited: Audited) -> None:
    key = await make_key(audited.rows, Scope.METRICS, Scope.ADMIN)
    for _ in range(MOST_WAITING_WITHOUT_KEY + 7):
        assert (await audited.http.get("/jobs")).status_code == 401
    assert (await audited.http.get("/jobs", headers=bearer(key))).status_code == 403  # who has a key is still entered
    await audited.refusal_log.close()
    counts = await audited.rows.fetch("SELECT status_code, count(*) FROM audit_entries GROUP BY 1 HAVING count(*) > 0")
    assert {row["status_code"]: row["count"] for row in counts if row["status_code"]} == {
        401: MOST_WAITING_WITHOUT_KEY,
        403: 1,
    }
    replace_services(audited.http, authenticator=None)
    samples = await scrape_samples(audited.http)
    assert fleet_value(samples, "breakwater_audit_entries_dropped_total") == 7


async def test_a_flood_under_one_key_leaves_room_for_the_refusals_of_others(audited: Audited) -> None:
    await make_tenant(audited.rows, "acme")
    loud, second, third, fourth = [await make_key(audited.rows, Scope.JOBS_READ, tenant="acme") for _ in range(4)]
    other = await make_key(audited.rows, Scope.JOBS_READ)

    async def send(count: int, headers: Mapping[str, str]) -> None:
        for _ in range(count):
            assert (await audited.http.post("/regions/us-east/pause", headers=headers)).status_code in {401, 403}

    await send(MOST_WAITING_OF_A_KEY + 2, bearer(loud))
    await send(1, {})
    await send(3, bearer(second))
    for key in (second, third, fourth):
        await send(MOST_WAITING_OF_A_KEY, bearer(key))
    await send(3, bearer(other))
    await audited.refusal_log.close()
    await send(1, bearer(loud))  # it has room again
    await audited.refusal_log.close()
    rows = await audited.rows.fetch("SELECT key_id, count(*) FROM audit_entries WHERE outcome = 'refused' GROUP BY 1")
    entered = {row["key_id"]: row["count"] for row in rows}
    assert entered[key_id(loud)] == MOST_WAITING_OF_A_KEY + 1
    assert (entered[key_id(other)], entered[None]) == (3, 1)
    of_acme = [entered.get(key_id(key), 0) for key in (loud, second, third, fourth)]
    assert sum(of_acme) == MOST_WAITING_OF_A_TENANT + 1
    replace_services(audited.http, authenticator=None)
    dropped = fleet_value(await scrape_samples(audited.http), "breakwater_audit_entries_dropped_total")
    assert dropped == 2 + 3 + MOST_WAITING_OF_A_KEY


async def test_a_submission_shows_its_key(audited: Audited) -> None:
    key = await make_key(audited.rows)
    http = AsKey(audited.http, key)
    job_id = (await http.post("/jobs", unique())).json()["job"]["id"]
    [submission] = (await http.get(f"/jobs/{job_id}/submissions")).json()["items"]
    assert submission["by"] == f"key:{key_id(key)}"


async def test_a_request_with_an_access_token_is_entered_under_its_subject(audited: Audited) -> None:
    """The token's verification is another test's: here is a caller who has one."""

    class ByToken:
        takes_tokens = True

        def fresh_caller(self, _: str | None) -> None:
            return None

        async def caller_with(self, _: str) -> Caller:
            return Caller(DEFAULT_TENANT_NO, frozenset(Scope), tenant=DEFAULT_TENANT, subject="ann")

    shown = audited.http.app.state.services.authenticator  # type: ignore[attr-defined]
    for path, body in (("/jobs", unique()), ("/regions/us-east/pause", None), ("/regions/none/pause", None)):
        replace_services(audited.http, authenticator=ByToken())
        answer = await audited.http.post(path, json=body, headers={**bearer("token"), "X-Request-ID": path})
        assert answer.status_code < 500, answer.text
        await audited.refusal_log.close()
        replace_services(audited.http, authenticator=shown)
        assert [(entry["account"], entry["key_id"]) for entry in await audited.shown(path)] == [("oidc:ann", None)]


async def test_records_of_actions_name_the_key(audited: Audited) -> None:
    key = await make_key(audited.rows)
    http, by = AsKey(audited.http, key), f"key:{key_id(key)}"
    job = await audited.seeds.submit()
    assert (await http.post(f"/jobs/{job.id}/cancel")).status_code == 202
    events = (await http.get(f"/jobs/{job.id}/events")).json()["items"]
    assert [event["data"]["by"] for event in events if event["type"] == "cancelled"] == [by]
    assert (await http.post("/providers/echo/pause")).json()["changed_by"] == by
    assert [operation["by"] for operation in (await http.get("/operations")).json()["items"]] == [by]


async def test_pages_and_files_hold_every_entry_once(reader: httpx2.AsyncClient, rows: Rows) -> None:
    """Numbers and times of neither source need to have one order."""
    await rows.execute(
        """
        INSERT INTO audit_entries (at, action, target, outcome, request_id)
        SELECT now() - n * 7919 % 60 * interval '1 second', 'keys create', '{}', 'done', 'e' || n
        FROM generate_series(1, 60) AS n
        """
    )
    await rows.execute(
        """
        INSERT INTO submissions (tenant_no, outcome, reason, status_code, request_id, submitted_at)
        SELECT 1, 'rejected', 'spec_rejected', 422, 's' || n, now() - n * 104729 % 60 * interval '1 second'
        FROM generate_series(1, 60) AS n
        """
    )
    wanted = sorted([f"{source}{n}" for source in "es" for n in range(1, 61)])
    for limit in (1, 7, 50):
        items = await every_item(reader, "/audit-log?since=2000-01-01", limit=limit)
        assert sorted(item["request_id"] for item in items if item["request_id"]) == wanted
    lines = (await reader.get("/audit-log", headers={"Accept": "application/x-ndjson"})).text.splitlines()
    assert in_order(orjson.loads(line) for line in lines) == in_order(items)
    records = list(csv.DictReader(io.StringIO((await reader.get("/audit-log", headers={"Accept": "text/csv"})).text)))
    assert sorted(record["request_id"] for record in records) == sorted(item["request_id"] or "" for item in items)
    assert list(records[0]) == list(items[0])


def in_order(entries: Iterable[Any]) -> list[Any]:
    return sorted(entries, key=lambda entry: str(entry["request_id"]))


async def test_the_log_is_narrowed_by_each_filter(audited: Audited) -> None:
    await make_tenant(audited.rows, "acme")
    ours, theirs = await make_key(audited.rows), await make_key(audited.rows, tenant="acme")
    job = await audited.seeds.submit()
    for key in (ours, theirs):
        await audited.send("POST", f"/jobs/{job.id}/cancel", headers=bearer(key))
        await audited.send("POST", "/jobs", headers=bearer(key), body=unique())
    cancel = "POST /jobs/{job_id}/cancel"

    async def found(**wanted: str) -> list[tuple[str, str, str]]:
        answer = await audited.http.get("/audit-log", params=wanted, headers=bearer(ours))
        assert answer.status_code == 200, answer.text
        items = [item for item in answer.json()["items"] if item["key_id"]]
        return sorted((item["tenant"], item["action"], item["outcome"]) for item in items)

    of_ours = [("default", "POST /jobs", "done"), ("default", cancel, "done")]
    of_theirs = [("acme", "POST /jobs", "done"), ("acme", cancel, "refused")]
    assert await found() == sorted(of_ours + of_theirs)
    assert await found(key_id=key_id(ours)) == of_ours
    assert await found(tenant="acme") == of_theirs
    assert await found(tenant="nobody") == []
    assert await found(action=cancel) == [of_theirs[1], of_ours[1]]
    assert await found(action="POST /jobs") == [of_theirs[0], of_ours[0]]
    assert await found(outcome="refused") == [of_theirs[1]]
    assert await found(until="2026-01-01") == []
    assert await found(since="2020-01-01") == sorted(of_ours + of_theirs)
    assert await found(since="2199-01-01") == []
    assert (await audited.http.get("/audit-log?outcome=x", headers=bearer(ours))).status_code == 422


@pytest.mark.parametrize("table", ["audit_entries", "submissions"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET request_id = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_the_service_s_own_account_can_t_change_the_log(
    reader: httpx2.AsyncClient, rows: Rows, table: str, statement: str, role: str
) -> None:
    await reader.post("/regions/us-east/pause")
    await rows.execute(f"SET session_replication_role = {role}")
    with pytest.raises(asyncpg.CheckViolationError, match="only added to"):
        await rows.execute(statement.format(table))
