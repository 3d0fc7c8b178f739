"""`breakwater doctor` finds what is broken, says what to do, and fails only for what keeps work from being done."""

import json
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.cli.answers import answering
from tests.cli.command_line import CommandLine
from tests.cli.examination import Doctor
from tests.support.connections import database_connections
from tests.support.jobs import job_body
from tests.support.service import Process

FOUND = {
    *("service", "clock", "ready", "versions", "key", "workers", "releases", "configuration", "stuck work"),
    *("simulation", "dead letters", "unknown ends", "audit"),
}


@pytest.fixture
def doctor(at: Callable[..., CommandLine], working_service: Process) -> Doctor:
    return Doctor(at(working_service.url))


@pytest.fixture
async def database(module_database_url: str) -> "asyncpg.Connection[asyncpg.Record]":
    async with database_connections(module_database_url) as (connection,):
        yield connection


def test_of_a_service_that_works_all_is_ok_but_that_it_simulates(doctor: Doctor) -> None:
    found = doctor.findings(code=0)
    assert set(found) == FOUND
    assert {check for check, findings in found.items() if {each["level"] for each in findings} != {"ok"}} == {
        "simulation"
    }


def test_people_read_lines_and_a_sum(at: Callable[..., CommandLine], working_service: Process) -> None:
    shown = at(working_service.url)("doctor").stdout.splitlines()
    assert shown[0] == next(line for line in shown if line.startswith("ok       service "))
    assert any(line.strip().startswith("-> For real answers: breakwater config apply FILE") for line in shown)
    assert shown[-1].endswith(" ok, 1 warning, 0 failing")


async def test_what_is_paused_is_a_warning_with_the_way_to_resume(doctor: Doctor, working_service: Process) -> None:
    async with httpx2.AsyncClient(base_url=working_service.url) as http:
        for path in ("/regions/eu-west", "/providers/echo"):
            assert (await http.post(f"{path}/pause", json={"reason": "maintenance"})).is_success
        pauses = doctor.findings(code=0)["pauses"]
        for path in ("/regions/eu-west", "/providers/echo"):
            assert (await http.post(f"{path}/resume")).is_success
    assert [finding["level"] for finding in pauses] == ["warning", "warning"]
    assert "maintenance" in pauses[0]["detail"]
    assert {finding["do"].rpartition(" ")[2] for finding in pauses} == {
        "/providers/echo/resume.",
        "/regions/eu-west/resume.",
    }


async def test_a_broken_promise_is_failing(
    doctor: Doctor, at: Callable, working_service: Process, spec, database
) -> None:
    submitted = at(working_service.url)("submit", spec(job_body(name="broken")), "--watch", "--json")
    job_id = json.loads(submitted.stdout.splitlines()[-1])["id"]
    change = "UPDATE jobs SET completed = completed {} 1, planned = planned {} 1 WHERE id = $1"

    async def miscount(sign: str) -> None:
        async with database.transaction():
            await database.execute("SET LOCAL session_replication_role = replica")
            await database.execute(change.format(sign, sign), job_id)

    await miscount("+")
    audit = doctor.only("audit", code=1)
    await miscount("-")
    assert audit["level"] == "failing"
    assert "broken: " in audit["detail"]


async def test_drained_workers_are_failing_where_there_are_no_others(doctor: Doctor, working_service: Process) -> None:
    async with httpx2.AsyncClient(base_url=working_service.url) as http:
        [worker] = (await http.get("/queue")).json()["workers"]
        assert (await http.post(f"/queue/workers/{worker['id']}/drain")).is_success
        drained = doctor.findings(code=1)["workers"][-1]
        assert (await http.post(f"/queue/workers/{worker['id']}/resume")).is_success
    assert drained["level"] == "failing"
    assert drained["do"].endswith(f"/queue/workers/{worker['id']}/resume.")
    assert len(doctor.findings(code=0)["workers"]) == 1


async def test_processes_of_several_releases_are_a_warning(doctor: Doctor, database) -> None:
    assert await database.execute("UPDATE workers SET version = '0.0.9' WHERE role = 'worker'") != "UPDATE 0"
    releases = doctor.only("releases", code=0)
    await database.execute("UPDATE workers SET version = '0.1.0' WHERE role = 'worker'")
    assert releases["level"] == "warning"
    assert "0.0.9, 0.1.0" in releases["detail"]


def test_a_service_that_is_not_reached_is_exit_code_3(at: Callable) -> None:
    found = Doctor(at("http://127.0.0.1:1")).findings(code=3)
    assert [finding["level"] for finding in found["service"]] == ["failing"]


def test_that_a_service_is_not_reached_is_said_once(at: Callable) -> None:
    ended = at("http://127.0.0.1:1")("doctor")
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout.count("doesn't answer") == 1
    assert ended.stdout.splitlines()[-1].endswith("1 failing")


def test_without_postgresql_it_says_so_and_goes_on(at: Callable) -> None:
    refused = (
        503,
        {"Retry-After": "1"},
        b'{"title": "Not ready", "status": 503, "code": "database_unavailable", "detail": "The database is away."}',
    )
    alive = (200, {}, b'{"status": "ok"}')
    with answering(alive, refused) as server:
        found = Doctor(at(server.url)).findings(code=1)
    assert (found["ready"][0]["level"], found["ready"][0]["detail"]) == ("failing", "The database is away.")
    assert {found[check][0]["level"] for check in ("workers", "dead letters", "audit")} == {"failing"}


@pytest.mark.parametrize("date", ["Sun, 30 Nov 2025 00:00:00 GMT", "Wed, 30 Nov 2050 00:00:00 GMT"])
def test_another_clock_is_a_warning(at: Callable, date: str) -> None:
    with answering((200, {"Date": date}, b'{"status": "ok"}'), (404, {}, b'{"status": 404, "code": "x"}')) as server:
        clock = Doctor(at(server.url)).only("clock", code=1)
    assert clock["level"] == "warning"
    assert "ahead of" in clock["detail"] if "2025" in date else "behind" in clock["detail"]


@pytest.mark.parametrize(("key", "level"), [("bw_geheim", "failing"), (None, "warning")])
def test_another_machine_without_tls_is_found(at: Callable, key: str | None, level: str) -> None:
    with answering((200, {}, b'{"status": "ok"}'), (404, {}, b'{"status": 404, "code": "x"}')) as proxy:
        command_line = at("http://service.example", key=key, HTTP_PROXY=proxy.url, http_proxy=proxy.url)
        assert Doctor(command_line).only("encryption", code=1)["level"] == level


def test_on_the_machine_of_the_service_its_stores_are_looked_at_without_their_passwords(
    at: Callable, working_service: Process, module_database_url: str, engines: Any
) -> None:
    stores = {"BREAKWATER_DATABASE_URL": module_database_url, "BREAKWATER_REDIS_URL": engines.redis_url}
    found = Doctor(at(working_service.url, **stores)).findings(code=0)
    assert [found[check][0]["level"] for check in ("settings", "database", "broker")] == ["ok"] * 3
    away = {
        "BREAKWATER_DATABASE_URL": "postgresql://u:geheim@127.0.0.1:1/d",
        "BREAKWATER_REDIS_URL": "redis://:geheim@127.0.0.1:1/0",
    }
    found = Doctor(at(working_service.url, **away)).findings(code=1)
    assert [found[check][0]["level"] for check in ("database", "broker")] == ["failing", "warning"]
    assert "geheim" not in json.dumps(found)
    wrong = Doctor(at(working_service.url, BREAKWATER_LEASE_SECONDS="soon")).findings(code=1)
    assert "BREAKWATER_LEASE_SECONDS" in wrong["settings"][0]["detail"]
    elsewhere = Doctor(at("http://service.example", **stores, http_proxy=working_service.url))
    assert "database" not in elsewhere.findings(code=1)
