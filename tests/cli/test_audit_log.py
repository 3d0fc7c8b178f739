"""Commands that change something leave an entry in the audit log, under the account and the machine."""

import getpass
import json
import socket
from pathlib import Path

import asyncpg
import orjson

from tests.support.processes import run_command

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
