"""`breakwater tenants` and `breakwater keys`: they need no API, and their keys are valid at once."""

import asyncio
import json
from collections.abc import Callable, Iterator

import httpx2
import pytest

from tests.support.access import bearer
from tests.support.connections import database_connections
from tests.support.processes import Ended, run_command
from tests.support.service import Process, free_port

Command = Callable[..., Ended]
CREATE = ("keys", "create", "ci", "--tenant", "default", "--scope", "jobs:read")


@pytest.fixture
def breakwater(database_url: str, redis_url: str) -> Command:
    """The command on these stores."""
    environment = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    return lambda *arguments: run_command(*arguments, environment=environment)


@pytest.fixture
def http(start_api: Callable[..., Process], database_url: str, redis_url: str) -> Iterator[httpx2.Client]:
    """A client of an API on the same stores that asks for keys."""
    with httpx2.Client(base_url=start_api(database_url, redis_url, auth="keys").url) as client:
        yield client


def test_keys_are_made_listed_rotated_and_revoked(breakwater: Command, http: httpx2.Client) -> None:
    assert breakwater("tenants", "create", "acme").returncode == 0
    limits = ("--limit", "cells_per_day=100", "--limit", "active_jobs=2")
    made = breakwater(
        "keys", "create", "ci", "--tenant", "acme", "--scope", "jobs:read", "--scope", "jobs:write",
        "--expires-in", "90d", *limits, "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert shown["scopes"] == ["jobs:read", "jobs:write"]
    assert shown["limits"] == {"cells_per_day": 100, "active_jobs": 2}
    assert http.get("/jobs", headers=bearer(shown["key"])).status_code == 200

    listed = breakwater("keys", "list")
    assert f"{shown['id']}  active    acme  ci  jobs:read jobs:write\n" == listed.stdout
    assert shown["key"] not in breakwater("keys", "list", "--json").stdout

    rotated = breakwater("keys", "rotate", shown["id"], "--overlap", "1h").stdout.strip()
    for key in (shown["key"], rotated):
        assert http.get("/jobs", headers=bearer(key)).status_code == 200

    assert breakwater("keys", "revoke", shown["id"]).stdout == f"Key {shown['id']} is revoked.\n"
    assert "revoked" in breakwater("keys", "list").stdout
    assert breakwater("keys", "rotate", shown["id"]).returncode == 1
    assert breakwater("tenants", "list").stdout.splitlines()[1].startswith("acme  since 20")


def test_a_tenant_is_made_and_changed_with_limits(breakwater: Command) -> None:
    made = breakwater("tenants", "create", "acme", "--limit", "cells_per_day=100", "--json")
    assert json.loads(made.stdout)["limits"] == {"cells_per_day": 100}, made.stderr
    more = ("--limit", "active_jobs=5", "--limit", "requests_per_second=20")
    changed = breakwater("tenants", "limits", "acme", *more, "--limit", "cells_per_day=none", "--json")
    assert json.loads(changed.stdout)["limits"] == {"active_jobs": 5, "requests_per_second": 20}
    assert breakwater("tenants", "limits", "acme", "--limit", "active_jobs=6").returncode == 0
    acme = breakwater("tenants", "list").stdout.splitlines()[1]
    assert acme.startswith("acme  since 20")
    assert acme.endswith("  requests_per_second=20  active_jobs=6")
    assert breakwater("tenants", "limits", "acme").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tenants", "create", "a b"), "`name`"),
        (("tenants", "create", "default"), "already"),
        (("tenants", "create", "acme", "--limit", "cells_per_day=none"), "`none`"),
        (("tenants", "limits", "nobody", "--limit", "cells_per_day=1"), "tenants list"),
        (("tenants", "limits", "default", "--limit", "cells_per_day=0"), "`cells_per_day`"),
        (("tenants", "limits", "default", "--limit", "cells=1"), "`cells`"),
        (("keys", "create", "ci", "--tenant", "nobody", "--scope", "jobs:read"), "tenants create nobody"),
        (
            ("keys", "create", "ci", "--tenant", "default", "--scope", "jobs:read", "--expires-in", "soon"),
            "`expires_in`",
        ),
        (
            ("keys", "create", "ci", "--tenant", "default", "--scope", "jobs:read", "--limit", "cells=1"),
            "`limits.cells`",
        ),
        ((*CREATE, "--limit", "x"), "--limit x"),
        (("keys", "rotate", "3k9f0q7zt2ab"), "keys list"),
        (("keys", "revoke", "3k9f0q7zt2ab"), "keys list"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(breakwater: Command, arguments, told) -> None:
    ended = breakwater(*arguments)
    assert ended.returncode != 0
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_unknown_scope_is_a_wrong_use(breakwater: Command) -> None:
    ended = breakwater("keys", "create", "ci", "--tenant", "default", "--scope", "everything")
    assert ended.returncode == 2
    assert "jobs:write" in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - refused, not bound
def test_an_open_address_without_keys_is_refused(breakwater: Command, host: str, database_url, redis_url) -> None:
    urls = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    ended = run_command("api", environment={**urls, "BREAKWATER_HOST": host})
    assert ended.returncode == 2
    assert "BREAKWATER_AUTH=keys" in ended.stderr
    assert "BREAKWATER_INSECURE=true" in ended.stderr


def test_an_api_with_keys_doesnt_start_while_postgresql_cant_keep_tenants_apart(
    breakwater: Command, database_url: str, redis_url: str
) -> None:
    async def expose() -> None:
        async with database_connections(database_url) as (connection,):
            await connection.execute("ALTER TABLE executions DISABLE ROW LEVEL SECURITY")

    asyncio.run(expose())
    urls = {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}
    ended = run_command("api", environment={**urls, "BREAKWATER_AUTH": "keys", "BREAKWATER_PORT": str(free_port())})
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "The table `executions` has no row-level security." in ended.stderr
    assert "Run `ALTER TABLE executions ENABLE ROW LEVEL SECURITY;`." in ended.stderr
