"""Commands that change something leave an entry in the audit log, under the account and the machine."""

import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path

import asyncpg
import orjson

from tests.support.connections import database_connections
from tests.support.processes import run_command
from tests.support.service import Process
from tests.support.waiting import eventually_async

BY = f"{getpass.getuser()} on {socket.gethostname()}"


async def test_commands_leave_one_entry_each_also_when_they_are_refused(
    unconfigured_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {"BREAKWATER_DATABASE_URL": unconfigured_database_url, "BREAKWATER_REDIS_URL": redis_url}
    arguments = ("--tenant", "acme", "--scope", "jobs:read", "--json")
    connection = await asyncpg.connect(unconfigured_database_url)

    def breakwater(*command: str) -> str:
        ended = run_command(*command, environment=environment)
        return ended.stdout

    try:
        breakwater("keys", "create", "ci", *arguments)  # there is no such tenant yet
        breakwater("tenants", "create", "acme")
        breakwater("tenants", "create", "acme")
        breakwater("tenants", "limits", "acme", "--limit", "active_jobs=5")
        key_id = json.loads(breakwater("keys", "create", "ci", *arguments))["id"]
        breakwater("keys", "rotate", key_id)
        breakwater("keys", "revoke", key_id)
        breakwater("keys", "rotate", key_id)
        breakwater("config", "apply", "--simulate")
        breakwater("config", "apply", "--simulate")  # which changes nothing
        breakwater("keys", "list")
        found = await connection.fetch(
            "SELECT account, action, target, outcome, code, client, key_id FROM audit_entries ORDER BY entry_no"
        )
    finally:
        await connection.close()
    assert {(entry["account"], entry["client"], entry["key_id"]) for entry in found} == {(BY, None, None)}
    assert [(entry["action"], orjson.loads(entry["target"]), entry["outcome"], entry["code"]) for entry in found] == [
        ("keys create", {}, "refused", "unknown_tenant"),
        ("tenants create", {"tenant": "acme"}, "done", None),
        ("tenants create", {"tenant": "acme"}, "refused", "name_taken"),
        ("tenants limits", {"tenant": "acme"}, "done", None),
        ("keys create", {"key_id": key_id}, "done", None),
        ("keys rotate", {"key_id": key_id}, "done", None),
        ("keys revoke", {"key_id": key_id}, "done", None),
        ("keys rotate", {"key_id": key_id}, "refused", "not_found"),
        ("config apply", {"configuration": 1}, "done", None),
    ]


FILL = """
INSERT INTO audit_entries (at, action, target, outcome)
SELECT now() - days * interval '1 day', 'keys create', json_build_object('days', days), 'done'
FROM unnest(ARRAY[29, 31]) AS days
"""
AGES = "SELECT target ->> 'days' FROM audit_entries WHERE action = 'keys create'"


async def test_migrating_has_the_log_kept_as_its_setting_says_and_workers_obey(
    start_worker: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    urls = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    async with database_connections(database_url) as (connection,):
        await connection.execute(FILL)
        for setting in ({"BREAKWATER_AUDIT_RETENTION_DAYS": "30"}, {"BREAKWATER_AUDIT_RETENTION_DAYS": "30"}):
            assert run_command("migrate", environment={**urls, **setting}).returncode == 0
        start_worker(database_url, redis_url, reconcile_seconds=0.2)

        async def is_removed() -> bool:
            return [row[0] for row in await connection.fetch(AGES)] == ["29"]

        await eventually_async(is_removed, what="a worker has removed the older one")
        assert run_command("migrate", environment=urls).returncode == 0
        changes = await connection.fetch("SELECT target FROM audit_entries WHERE action = 'migrate' ORDER BY entry_no")
        kept = [change["target"]["audit_retention_days"] for change in changes]
        assert kept == ["30", "all"]
    refused = run_command("migrate", environment={**urls, "BREAKWATER_AUDIT_RETENTION_DAYS": "29"})
    assert (refused.returncode, "AUDIT_RETENTION_DAYS" in refused.stderr) == (2, True)
