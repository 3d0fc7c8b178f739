"""Actions over a filter: a dry run names what it matched, and the action takes exactly that, each once."""

import asyncio
from typing import Any

import httpx2
import pytest

from api import bulk_actions
from api.authentication import Authenticator
from db import bulk_actions as stored
from db.engine import Connection as Rows
from db.engine import in_transaction
from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.support.access import bearer, make_key, make_tenant
from tests.support.controls import exhausted
from tests.support.job_seeds import Seeds, completed, failed
from tests.support.reading_app import every_item, replace_services

REFUSED = [
    ("dry_run=true", "filter_missing", None),
    ("as_of=x", "filter_missing", None),
    ("name=a", "as_of_missing", "as_of"),
    ("name=a&as_of=x", "as_of_invalid", "as_of"),
    ("name=a&as_of=x&dry_run=true", "invalid_parameter", "as_of"),
    ("name=a&dry_run=true&limit=5", "unknown_parameter", "limit"),
    ("status=none&dry_run=true", "invalid_parameter", "status"),
    ("region=mars&dry_run=true", "unknown_region", "region"),
]


async def post(reader: httpx2.AsyncClient, path: str, *, status: int = 200, **sent: Any) -> Any:
    answer = await reader.post(path, **sent)
    assert answer.status_code == status, answer.text
    return answer.json()


async def dry_run(reader: httpx2.AsyncClient, path: str) -> Any:
    return await post(reader, f"{path}&dry_run=true")


async def status_of(reader: httpx2.AsyncClient, job_id: str) -> str:
    status: str = (await reader.get(f"/jobs/{job_id}")).json()["status"]
    return status


async def events_of(reader: httpx2.AsyncClient, job_id: str) -> list[Any]:
    items: list[Any] = (await reader.get(f"/jobs/{job_id}/events")).json()["items"]
    return items


async def ended(seeds: Seeds, end: Any, **body: Any) -> Any:
    job = await seeds.submit(**body)
    await seeds.plan()
    for batch in await seeds.claim():
        await seeds.record(end(batch))
    return job


@pytest.mark.parametrize("path", ["/jobs/cancel", "/jobs/retry"])
@pytest.mark.parametrize(("query", "code", "parameter"), REFUSED)
async def test_what_names_no_filter_or_no_dry_run_is_refused(
    reader: httpx2.AsyncClient, path: str, query: str, code: str, parameter: str | None
) -> None:
    problem = await post(reader, f"{path}?{query}", status=422)
    assert (problem["code"], [reason["parameter"] for reason in problem["errors"]]) == (
        code,
        [parameter] if parameter else [],
    )


async def test_what_a_dry_run_matched_is_cancelled_and_nothing_else(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    queued = await seeds.submit(name="nightly", metadata={"team": "search"})
    await seeds.plan()
    running = await seeds.submit(name="nightly", metadata={"team": "search"})
    other = await seeds.submit(name="nightly", metadata={"team": "ads"})
    path = "/jobs/cancel?name=nightly&metadata.team=search&status=queued,running"
    matched = await dry_run(reader, path)
    assert matched["matched"] == 2
    later = await seeds.submit(name="nightly", metadata={"team": "search"})
    done = await post(reader, f"{path}&as_of={matched['as_of']}", json={"reason": "no more"})
    assert done == {"as_of": matched["as_of"], "matched": 2, "done": 2, "skipped": {}, "left": 0}
    assert [await status_of(reader, job.id) for job in (queued, running)] == ["cancelled"] * 2
    assert [await status_of(reader, job.id) for job in (other, later)] == ["queued"] * 2
    for job in (queued, running):
        *_, event = await events_of(reader, job.id)
        assert (event["type"], event["source"]) == ("cancelled", "api:127.0.0.1")
        assert event["data"] == {"by": "api:127.0.0.1", "reason": "no more", "cells": 1}
    assert await post(reader, f"{path}&as_of={matched['as_of']}") == done
    assert [event["type"] for event in await events_of(reader, queued.id)].count("cancelled") == 1


async def test_the_filter_of_the_action_is_that_of_its_dry_run_in_whatever_words(
    reader: httpx2.AsyncClient, seeds: Seeds
) -> None:
    await seeds.submit(name="nightly")
    as_of = (await dry_run(reader, "/jobs/cancel?name=nightly&status=running,queued&region=US"))["as_of"]
    same = f"region=us-east&status=queued,running&name=nightly&as_of={as_of}"
    for path in (f"/jobs/cancel?name=nightly&as_of={as_of}", f"/jobs/retry?{same}"):
        assert (await post(reader, path, status=422))["code"] == "as_of_invalid"
    assert (await post(reader, f"/jobs/cancel?{same}"))["done"] == 1


async def test_a_transaction_that_commits_after_the_dry_run_is_untouched_whatever_its_number_and_time(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    """It drew its number, and its time, before those that the dry run saw."""
    template = await seeds.submit(name="held-open")
    await rows.execute("UPDATE jobs SET name = 'elsewhere' WHERE job_no = $1", template.job_no)
    async with rows.transaction():
        await rows.execute("UPDATE jobs SET name = 'held-open' WHERE job_no = $1", template.job_no)
        seen = [await seeds.submit(name="held-open") for _ in range(3)]
        path = "/jobs/cancel?name=held-open"
        matched = await dry_run(reader, path)
    assert matched["matched"] == 3
    assert [item["id"] for item in await every_item(reader, "/jobs?name=held-open", limit=10)][-1] == template.id
    assert (await post(reader, f"{path}&as_of={matched['as_of']}"))["done"] == 3
    assert await status_of(reader, template.id) == "queued"
    assert {await status_of(reader, job.id) for job in seen} == {"cancelled"}


async def test_what_changed_meanwhile_is_skipped_with_the_reason(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    begun = await seeds.submit(name="a")
    path = "/jobs/cancel?name=a&status=queued"
    gone = await seeds.submit(name="a")
    waiting = await seeds.submit(name="a")
    finished = await seeds.submit(name="a")
    as_of = (await dry_run(reader, path))["as_of"]
    await reader.post(f"/jobs/{finished.id}/cancel")
    await rows.execute("DELETE FROM jobs WHERE job_no = $1", gone.job_no)
    await rows.execute("UPDATE jobs SET name = 'b' WHERE job_no = $1", begun.job_no)
    done = await post(reader, f"{path}&as_of={as_of}")
    assert done["skipped"] == {"already_ended": 1, "no_longer_matches": 1, "not_found": 1}
    assert (done["matched"], done["done"], done["left"]) == (4, 1, 0)
    assert [await status_of(reader, job.id) for job in (begun, waiting)] == ["queued", "cancelled"]


async def test_a_request_that_ran_out_of_time_is_gone_on_with(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "SECONDS_AT_ONCE", 0.0)
    for _ in range(3):
        await seeds.submit(name="a")
    await seeds.plan()  # those that wait are taken together
    path = "/jobs/cancel?name=a"
    action = f"{path}&as_of={(await dry_run(reader, path))['as_of']}"
    seen = [await post(reader, action) for _ in range(4)]
    assert [(answer["done"], answer["left"]) for answer in seen] == [(1, 2), (2, 1), (3, 0), (3, 0)]


async def test_jobs_that_wait_are_cancelled_together_as_each_would_be(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "SECONDS_AT_ONCE", 0.0)
    jobs = [await seeds.submit(name="a", questions=["1", "2"]) for _ in range(3)]
    other = await seeds.submit(name="a")
    await reader.post(f"/jobs/{jobs[0].id}/coordinate")
    path = "/jobs/cancel?name=a&status=queued"
    action = f"{path}&as_of={(await dry_run(reader, path))['as_of']}"
    await rows.execute("UPDATE jobs SET name = 'b' WHERE job_no = $1", other.job_no)
    done = await post(reader, action, json={"reason": "no more"})
    assert (done["done"], done["skipped"], done["left"]) == (3, {"no_longer_matches": 1}, 0)
    for job in jobs:
        assert (await reader.get(f"/jobs/{job.id}")).json()["progress"]["cancelled"] == 2
        *_, event = await events_of(reader, job.id)
        assert (event["type"], event["data"]) == (
            "cancelled",
            {"by": "api:127.0.0.1", "reason": "no more", "cells": 2},
        )
        assert (await reader.get(f"/jobs/{job.id}/audit")).json()["holds"]
    [trigger] = (await reader.get(f"/jobs/{jobs[0].id}/coordination")).json()["items"]
    assert (trigger["source"], trigger["outcome"]) == ("manual", "failed")
    counted = "SELECT value FROM tallies WHERE series = 'breakwater_coordination'"
    assert [row["value"] for row in await rows.fetch(counted)] == [1]
    assert await status_of(reader, other.id) == "queued"


async def test_what_somebody_holds_is_left_and_holds_up_nothing_else(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "SECONDS_AT_ONCE", 1.0)
    held, *others = [await seeds.submit(name="a") for _ in range(3)]
    path = "/jobs/cancel?name=a"
    action = f"{path}&as_of={(await dry_run(reader, path))['as_of']}"
    async with rows.transaction():
        await rows.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", held.job_no)
        first = await post(reader, action)
    assert (first["done"], first["left"]) == (2, 1)
    assert {await status_of(reader, job.id) for job in others} == {"cancelled"}
    assert (await post(reader, action))["done"] == 3


async def test_two_clients_at_once_take_each_job_once(reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows) -> None:
    for _ in range(30):
        await seeds.submit(name="a")
    path = "/jobs/cancel?name=a"
    as_of = (await dry_run(reader, path))["as_of"]
    answers = await asyncio.gather(*(post(reader, f"{path}&as_of={as_of}") for _ in range(4)))
    assert [(answer["done"], answer["left"]) for answer in answers] == [(30, 0)] * 4
    cancelled = "SELECT count(*), count(DISTINCT job_no) FROM events WHERE type = 'cancelled'"
    assert tuple(await rows.fetchrow(cancelled)) == (30, 30)
    assert await rows.fetchval("SELECT sum(value) FROM tallies WHERE series = 'breakwater_executions'") is None


async def test_a_retry_skips_what_a_single_one_refuses(reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows) -> None:
    renamed = await ended(seeds, failed, name="a")
    lost = await ended(seeds, failed, name="a")
    won = await ended(seeds, completed, name="a")
    cancelled = await seeds.submit(name="a")
    await reader.post(f"/jobs/{cancelled.id}/cancel")
    path = "/jobs/retry?name=a"
    matched = await dry_run(reader, path)
    await rows.execute("UPDATE jobs SET name = 'b' WHERE job_no = $1", renamed.job_no)
    done = await post(reader, f"{path}&as_of={matched['as_of']}", json={"reason": "it is back"})
    assert done["skipped"] == {"job_cancelled": 1, "no_longer_matches": 1, "nothing_failed": 1}
    assert (done["matched"], done["done"], done["left"]) == (4, 1, 0)
    assert await status_of(reader, renamed.id) == "failed"
    assert [await status_of(reader, job.id) for job in (lost, won, cancelled)] == ["running", "completed", "cancelled"]
    *_, event = await events_of(reader, lost.id)
    assert (event["type"], event["data"]["reason"], event["data"]["cells"]) == ("retried", "it is back", 1)
    await seeds.record(*(failed(batch) for batch in await seeds.claim()))
    assert await post(reader, f"{path}&as_of={matched['as_of']}") == done
    assert await status_of(reader, lost.id) == "failed"


async def test_under_a_key_the_first_answer_is_repeated_and_another_request_refused(
    reader: httpx2.AsyncClient, seeds: Seeds
) -> None:
    job = await seeds.submit(name="a")
    path, keyed = "/jobs/cancel?name=a", {"headers": {"Idempotency-Key": "counted-once"}}
    first = await post(reader, f"{path}&dry_run=true", **keyed)
    await seeds.submit(name="a")
    assert await post(reader, f"{path}&dry_run=true", **keyed) == first
    for other in ("name=b&dry_run=true", f"name=a&as_of={first['as_of']}"):
        problem = await post(reader, f"/jobs/cancel?{other}", status=422, **keyed)
        assert problem["code"] == "idempotency_key_reused"
    assert await status_of(reader, job.id) == "queued"
    acting = {"headers": {"Idempotency-Key": "done-once"}}
    done = await post(reader, f"{path}&as_of={first['as_of']}", **acting)
    again = await reader.post(f"{path}&as_of={first['as_of']}", **acting)  # type: ignore[arg-type]
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (done, "true")


async def test_the_audit_log_has_an_entry_of_each_request_that_acts(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    await seeds.submit(name="a")
    path = "/jobs/cancel?name=a"
    as_of = (await dry_run(reader, path))["as_of"]
    await post(reader, f"{path}&as_of={as_of}")
    [entry] = (await reader.get("/audit-log?action=POST /jobs/cancel")).json()["items"]
    assert (entry["outcome"], entry["target"]) == ("done", {"filter": "name=a", "as_of": as_of, "matched": "1"})


async def test_what_expired_is_forgotten_but_for_the_operation(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PURGED_AT_ONCE", 2)
    for _ in range(3):
        await seeds.submit(name="a")
    path = "/jobs/cancel?name=a"
    acted, unused, fresh = [(await dry_run(reader, path))["as_of"] for _ in range(3)]
    await post(reader, f"{path}&as_of={acted}")
    await rows.execute("UPDATE bulk_actions SET expires_at = now() WHERE as_of <> $1", fresh)
    for as_of in (acted, unused):
        assert (await post(reader, f"{path}&as_of={as_of}", status=422))["code"] == "as_of_invalid"
    while await in_transaction(seeds.engine, stored.purge):
        pass
    kept = "SELECT a.as_of, count(i.number) FROM bulk_actions AS a LEFT JOIN bulk_items AS i USING (bulk_no) GROUP BY 1"
    assert {tuple(row) for row in await rows.fetch(kept)} == {(acted, 0), (fresh, 3)}


async def test_a_tenant_keeps_the_newest_dry_runs_that_no_action_has_followed(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_DRY_RUNS", 2)
    acme = await make_tenant(rows, "acme")
    await seeds.submit(name="a")
    path = "/jobs/cancel?name=a"
    begun = (await dry_run(reader, path))["as_of"]
    await post(reader, f"{path}&as_of={begun}")
    other = (await dry_run(reader, path))["as_of"]
    await rows.execute("UPDATE bulk_actions SET tenant_no = $1 WHERE as_of = $2", acme, other)
    _, *kept = [(await dry_run(reader, path))["as_of"] for _ in range(3)]
    found = await rows.fetch("SELECT as_of FROM bulk_actions WHERE expires_at > now() ORDER BY bulk_no")
    assert [row["as_of"] for row in found] == [begun, other, *kept]
    assert (await post(reader, f"{path}&as_of={kept[0]}"))["matched"] == 1


async def test_dead_letters_that_match_are_replayed(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    one = await ended(seeds, exhausted, name="a", models=["m-a", "m-b"])
    two = await ended(seeds, exhausted, name="b")
    path = "/queue/dead/replay?tenant=default&model=m-a&region=US&error_code=busy"
    matched = await dry_run(reader, path)
    assert matched["matched"] == 2
    single = (await reader.get(f"/queue/dead?job_id={two.id}")).json()["items"][0]["id"]
    await post(reader, f"/queue/dead/{single}/replay")
    done = await post(reader, f"{path}&as_of={matched['as_of']}", json={"reason": "it is back"})
    assert (done["done"], done["skipped"], done["left"]) == (1, {"already_replayed": 1}, 0)
    [left] = (await reader.get("/queue/dead")).json()["items"]
    assert (left["job_id"], left["model_id"]) == (one.id, "m-b")
    *_, event = await events_of(reader, one.id)
    assert (event["type"], event["data"]["reason"], event["data"]["cells"]) == ("retried", "it is back", 1)


async def test_dead_letters_are_listed_by_each_filter(reader: httpx2.AsyncClient, seeds: Seeds) -> None:
    one = await ended(seeds, exhausted, models=["m-a", "m-b"], regions=["us-east", "eu-west"])
    await ended(seeds, exhausted)
    for query, count in (
        ("model=m-b", 2),
        ("region=EUROPE", 2),
        ("region=us-east&model=m-a", 2),
        (f"job_id={one.id}", 4),
        ("error_code=busy", 5),
        ("error_code=timeout", 0),
        ("tenant=default", 5),
        ("tenant=other", 0),
    ):
        assert len(await every_item(reader, f"/queue/dead?{query}", limit=2)) == count, query


@pytest.mark.parametrize(
    ("query", "code"),
    [("dry_run=true", "filter_missing"), ("tenant=a", "as_of_missing"), ("name=a", "unknown_parameter")],
)
async def test_a_replay_of_everything_or_by_another_filter_is_refused(
    reader: httpx2.AsyncClient, query: str, code: str
) -> None:
    assert (await post(reader, f"/queue/dead/replay?{query}", status=422))["code"] == code


async def test_an_action_is_one_operation_that_says_how_far_it_is(
    reader: httpx2.AsyncClient, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "SECONDS_AT_ONCE", 0.0)
    await reader.post("/regions/EU/pause")
    first, _ = [await seeds.submit(name="a") for _ in range(2)]
    await seeds.plan()  # those that wait are taken together
    path = "/jobs/cancel?name=a&status=running"
    action = f"{path}&as_of={(await dry_run(reader, path))['as_of']}"
    await reader.post(f"/jobs/{first.id}/cancel")
    await reader.post("/regions/EU/resume")
    shown = []
    for reason in ("no more", "again"):
        await post(reader, action, json={"reason": reason})
        operation, *pauses = await every_item(reader, "/operations", limit=1)
        assert [(pause["action"], pause["matched"]) for pause in pauses] == [("resume", None), ("pause", None)]
        shown.append({name: operation[name] for name in operation.keys() - {"id", "at"}})
    same = {"action": "cancel", "kind": "jobs", "name": "name=a&status=running", "by": "api:127.0.0.1"}
    counts = {"matched": 2, "done": 0, "skipped": 1}
    assert shown == [{**same, **counts, "reason": "no more"}, {**same, **counts, "done": 1, "reason": "no more"}]


async def test_another_tenants_jobs_are_untouched_and_its_dry_runs_unknown(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    acme = await make_tenant(rows, "acme")
    own, other = await seeds.submit(name="a"), await seeds.submit(name="a", tenant_no=acme)
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    ours, theirs = [bearer(await make_key(rows, Scope.CONTROLS, tenant=tenant)) for tenant in ("default", "acme")]
    path = "/jobs/cancel?name=a"
    matched = await post(reader, f"{path}&dry_run=true", headers=ours)
    assert matched["matched"] == 1
    action = f"{path}&as_of={matched['as_of']}"
    assert (await post(reader, action, status=422, headers=theirs))["code"] == "as_of_invalid"
    assert (await post(reader, action, headers=ours))["done"] == 1
    states = {row["id"]: row["status"] for row in await rows.fetch("SELECT id, status FROM jobs")}
    assert states == {own.id: "cancelled", other.id: "queued"}


async def test_dead_letters_of_all_tenants_are_an_operators(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    acme = await make_tenant(rows, "acme")
    for tenant_no in (1, acme):
        await ended(seeds, exhausted, tenant_no=tenant_no)
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    operator = bearer(await make_key(rows, Scope.OPERATE, tenant="acme"))
    path = "/queue/dead/replay?error_code=busy"
    as_of = (await post(reader, f"{path}&dry_run=true", headers=operator))["as_of"]
    other = bearer(await make_key(rows, Scope.OPERATE))
    assert (await post(reader, f"{path}&as_of={as_of}", status=422, headers=other))["code"] == "as_of_invalid"
    assert (await post(reader, f"{path}&as_of={as_of}", headers=operator))["done"] == 2


async def test_a_retry_skips_what_the_quota_of_the_key_does_not_hold(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Rows
) -> None:
    jobs = [await ended(seeds, failed, name="a", questions=questions) for questions in (["1", "2"], ["3"], ["4"])]
    replace_services(reader, authenticator=Authenticator(seeds.engine, None))
    limited = bearer(await make_key(rows, Scope.CONTROLS, Scope.JOBS_READ, limits=KeyLimits(cells_per_day=2)))
    path = "/jobs/retry?name=a"
    as_of = (await post(reader, f"{path}&dry_run=true", headers=limited))["as_of"]
    done = await post(reader, f"{path}&as_of={as_of}", headers=limited)
    assert (done["done"], done["skipped"], done["left"]) == (1, {"quota_exceeded": 2}, 0)
    states = [row["status"] for row in await rows.fetch("SELECT status FROM jobs ORDER BY job_no")]
    assert states == ["running", "failed", "failed"]
    assert len(jobs) == len(states)
