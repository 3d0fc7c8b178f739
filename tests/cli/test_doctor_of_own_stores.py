"""`breakwater doctor` where the service's stores are the test's own: no worker, dead letters, keys."""

import json
from collections.abc import Callable

import pytest

from domain.key_limits import KeyLimits
from domain.scopes import Scope
from tests.cli.examination import Doctor
from tests.support.access import make_key
from tests.support.connections import database_connections
from tests.support.jobs import job_body
from tests.support.service import StartProcess
from tests.support.waiting import eventually


def test_without_a_worker_queued_work_is_stuck(
    at: Callable, start_api: StartProcess, database_url: str, redis_url: str, spec: Callable
) -> None:
    command_line = at(start_api(database_url, redis_url, reconcile_seconds=0.1).url)
    command_line("submit", spec(job_body()))
    doctor = Doctor(command_line)
    found = eventually(lambda: [f for f in [doctor.findings(code=1)] if f["stuck work"][0]["level"] != "ok"])[0]
    assert found["workers"][0]["level"] == "failing"
    assert "breakwater worker" in found["workers"][0]["do"]
    assert (found["stuck work"][0]["level"], "no worker" in found["stuck work"][0]["detail"].lower()) == (
        "failing",
        True,
    )


def test_a_worker_that_fell_silent_is_a_warning(
    at: Callable, start_api: StartProcess, start_worker: StartProcess, database_url: str, redis_url: str
) -> None:
    quick = {"lease_seconds": 1, "heartbeat_seconds": 0.3, "reconcile_seconds": 0.3}
    doctor = Doctor(at(start_api(database_url, redis_url, **quick).url))
    worker = start_worker(database_url, redis_url, **quick)
    eventually(lambda: worker.events("worker_started"), seconds=20)
    worker.kill()
    lost = eventually(lambda: doctor.any_findings().get("lost"), seconds=20)
    assert lost[0]["level"] == "warning"
    assert "1 processes fell silent" in lost[0]["detail"]
    assert doctor.findings(code=1)["workers"][0]["level"] == "failing"


@pytest.fixture
def failing_service(start_api: StartProcess, start_worker: StartProcess, database_url: str, redis_url: str) -> str:
    """The URL of a service whose calls all fail."""
    start_worker(database_url, redis_url, echo_failure_rate=1)
    return start_api(database_url, redis_url).url


def test_cells_that_used_up_their_tries_are_a_warning(at: Callable, failing_service: str, spec: Callable) -> None:
    command_line = at(failing_service)
    command_line("submit", spec(job_body(questions=3, policy={"max_attempts": 1})), "--watch")
    letters = Doctor(command_line).only("dead letters", code=0)
    assert (letters["level"], letters["detail"]) == ("warning", "3 cells used up their tries: echo_failure")


@pytest.fixture
def guarded(start_api: StartProcess, database_url: str, redis_url: str) -> str:
    """The URL of an API that asks for keys."""
    return start_api(database_url, redis_url, auth="keys").url


async def test_a_key_is_told_what_it_may_not_look_at(at: Callable, guarded: str, database_url: str) -> None:
    async with database_connections(database_url) as (connection,):
        reader = await make_key(connection, Scope.JOBS_READ)
    found = Doctor(at(guarded, key=reader)).findings(code=0)
    assert "lacks the scope `operate`" in found["workers"][0]["detail"]
    assert "lacks the scope `results:read`" in found["unknown ends"][0]["detail"]
    assert found["key"][0]["detail"] == f"key {reader.split('_')[1]} is valid"
    assert "versions" not in found
    secret = reader.rpartition("_")[2]
    assert secret not in json.dumps(found)


@pytest.mark.parametrize("key", [None, "bw_geheim"])
def test_a_missing_or_wrong_key_is_failing(at: Callable, guarded: str, key: str | None) -> None:
    found = Doctor(at(guarded, key=key)).findings(code=1)
    assert found["key"][0]["level"] == "failing"
    assert "BREAKWATER_API_KEY" in found["key"][0]["do"]
    assert "geheim" not in json.dumps(found)


async def test_what_a_limited_key_keeps_from_being_looked_at_is_a_warning(
    at: Callable, start_api: StartProcess, start_worker: StartProcess, database_url: str, redis_url: str
) -> None:
    async with database_connections(database_url) as (connection,):
        key = await make_key(connection, limits=KeyLimits(requests_per_second=1))
    worker = start_worker(database_url, redis_url)
    eventually(lambda: worker.events("worker_started"), seconds=20)
    found = Doctor(at(start_api(database_url, redis_url, auth="keys").url, key=key)).findings(code=0)
    put_off = [each for findings in found.values() for each in findings if each["detail"].startswith("not looked at")]
    assert {each["level"] for each in put_off} == {"warning"}
    assert "requests_per_second" in put_off[0]["do"]
