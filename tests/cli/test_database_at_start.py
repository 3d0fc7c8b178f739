"""A database that can't be used when a process starts: one sentence that names the setting, or one warning."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from db import sessions
from db.engine import probe
from domain.postgres_url import hide_passwords
from tests.support.gateway import gateway_to
from tests.support.processes import Ended, run_command
from tests.support.service import StartProcess, free_port
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet


def ended(command: str, database_url: str) -> Ended:
    given = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0", "PORT": str(free_port())}
    return run_command(command, environment={f"BREAKWATER_{name}": value for name, value in given.items()})


def test_an_absent_database_ends_every_command_with_one_sentence(empty_database_url: str) -> None:
    url = urlunsplit(urlsplit(empty_database_url)._replace(path="/no_such_database"))
    for command in ("api", "worker", "migrate"):
        found = ended(command, f"{url}&password=geheim")
        assert (command, found.returncode, found.stderr.count("\n")) == (command, 1, 1), found
        assert "BREAKWATER_DATABASE_URL" in found.stderr
        assert '"no_such_database" does not exist: create it' in found.stderr
        assert "geheim" not in found.stderr


def test_a_worker_on_a_database_without_a_schema_names_the_command_to_run(empty_database_url: str) -> None:
    found = ended("worker", empty_database_url)
    assert (found.returncode, found.stderr.count("\n")) == (1, 1), found
    assert "run `breakwater migrate` first" in found.stderr


async def test_a_server_without_tls_is_named_where_tls_is_asked_for(empty_database_url: str) -> None:
    async with gateway_to(empty_database_url) as gateway:
        failure = await probe(gateway.url.replace("sslmode=disable", "sslmode=require"))
    assert failure is not None
    assert not failure.heals
    assert "offers no TLS" in failure.reason


async def test_a_server_that_is_too_old_is_refused(empty_database_url: str, monkeypatch) -> None:
    monkeypatch.setattr(sessions, "OLDEST_VERSION", 99)
    failure = await probe(empty_database_url)
    assert failure is not None
    assert not failure.heals
    assert "must be 99 or newer" in failure.reason


async def test_an_account_that_is_not_let_in_is_refused(empty_database_url: str) -> None:
    failure = await probe(empty_database_url.replace("breakwater@", "somebody@"))
    assert failure is not None
    assert not failure.heals
    assert "authentication failed" in failure.reason


async def test_a_setting_that_the_server_refuses_is_reported_by_its_name(empty_database_url: str) -> None:
    failure = await probe(f"{empty_database_url}&options=-cno_such_setting%3D1")
    assert failure is not None
    assert not failure.heals
    assert "no_such_setting" in failure.reason


async def test_an_unavailable_database_may_come_back(unused_tcp_port: int) -> None:
    failure = await probe(f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d")
    assert failure is not None
    assert failure.heals
    assert str(unused_tcp_port) in failure.reason


async def test_a_worker_waits_for_an_unavailable_database_with_one_warning(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with gateway_to(database_url) as gateway:
        gateway.shut()
        fleet = Fleet(gateway.url.replace("@", ":geheim@"), redis_url, tmp_path)
        try:
            worker = fleet.spawn()
            warning = await asyncio.to_thread(worker.wait_for, "database_unreachable")
            assert "BREAKWATER_DATABASE_URL" in warning["detail"]
            assert "geheim" not in worker.output.read_text()
            refused = gateway.refused

            async def has_tried_again() -> bool:
                return gateway.refused > refused

            await eventually_async(has_tried_again)
            assert len(worker.events("database_unreachable")) == 1
            gateway.open()
            await asyncio.to_thread(worker.wait_for, "worker_started")
            assert worker.events("database_reached")
            await asyncio.to_thread(worker.stop)
        finally:
            fleet.close()


async def test_a_worker_that_starts_while_the_database_is_read_only_waits_and_says_why(
    database_url: str, redis_url: str, connection, tmp_path: Path
) -> None:
    """As after a failover, while the new primary is still a standby."""
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    fleet = Fleet(database_url, redis_url, tmp_path)
    try:
        worker = fleet.spawn()
        warning = await asyncio.to_thread(worker.wait_for, "database_unreachable")
        assert "It is read-only" in warning["detail"]
        await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await asyncio.to_thread(worker.wait_for, "worker_started")
        assert worker.events("database_reached")
        await asyncio.to_thread(worker.stop)
    finally:
        await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        fleet.close()


async def test_a_worker_that_waits_for_its_database_ends_when_it_is_asked_to(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    fleet = Fleet(f"postgresql://u@127.0.0.1:{free_port()}/d", redis_url, tmp_path)
    try:
        worker = fleet.spawn()
        await asyncio.to_thread(worker.wait_for, "database_unreachable")
        await asyncio.to_thread(worker.stop, seconds=10)
    finally:
        fleet.close()


def test_an_api_without_its_database_names_the_setting_and_does_not_repeat_itself(start_api: StartProcess) -> None:
    api = start_api(f"postgresql://u:geheim@127.0.0.1:{free_port()}/d", "redis://127.0.0.1:1/0", HEARTBEAT_SECONDS=0.2)
    eventually(lambda: api.events("pauses_delayed"))
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 1.2)
    assert len(api.events("pauses_delayed")) == 1
    assert len(api.events("database_unreachable")) <= 2, "once before it listens, once while it does"
    log = api.output.read_text()
    assert "BREAKWATER_DATABASE_URL" in log
    assert "geheim" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:geheim@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:ge#heim@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:ge/heim@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:ge@heim@h/d?sslmode=require", "postgresql://u:***@h/d?sslmode=require"),
        ("postgresql://u:ge?heim@h/d", "postgresql://u:***@h/d"),
        (
            "postgresql://h/d?user=u&password=geheim&sslpassword=geheim",
            "postgresql://h/d?user=u&password=***&sslpassword=***",
        ),
        ("host=h password='ge heim' user=u", "host=h password=*** user=u"),
        ("host=h password = geheim", "host=h password = ***"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_no_password_of_a_connection_string_is_shown(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown
