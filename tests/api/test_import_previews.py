"""A dry run of an import counts the rows that it would read, within its time, and stores nothing."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from api.import_previews import ImportPreviews
from configuration.content import Configuration, registry_of
from configuration.in_force import InForce
from domain.identities import IdentityKey, IdentityKind
from runtime.configured_secrets import Secrets
from sources.configured import ConfiguredSources
from submissions.submission import Sender, read_submission
from tests.support.configurations import content_of
from tests.support.import_bodies import configured, csv_type, import_body, table_type
from tests.support.service import api_client
from tests.support.waiting import eventually_async

SECONDS = 5.0
BLOCKED = "SELECT count(*) >= 2 FROM pg_locks WHERE NOT granted AND relation = 'held'::regclass"


@pytest.fixture
async def client(start_api, database_url, redis_url, tmp_path, monkeypatch):
    """A client of an API that may read a folder and the tables of its own database."""
    settings = {"config": configured(tmp_path), "data_dir": tmp_path / "state"}
    monkeypatch.setenv("ERP_URL", database_url)
    (tmp_path / "data" / "customer.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(1201)))
    (tmp_path / "data" / "order.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(2500)))
    async with api_client(start_api(database_url, redis_url, **settings), database_url) as client:
        yield client


async def preview(client, body):
    answer = await client.post(body, dry_run=True)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["outcome"], answer.json()["job"]) == ("planned", None)
    return answer.json()["planned"]


async def test_a_dry_run_counts_rows_batches_and_waves(client, rows) -> None:
    types = (csv_type("order", depends_on=["customer"]), csv_type("customer"))
    body = import_body(*types, policy={"batch_size": 500, "batches_per_wave": 4})
    assert await preview(client, body) == {
        "record_types": 2,
        "levels": 2,
        "waves": 3,
        "batches": 8,
        "rows": 3701,
        "by_record_type": [
            {"id": "order", "level": 1, "rows": 2500, "batches": 5, "detail": None, "error": None},
            {"id": "customer", "level": 0, "rows": 1201, "batches": 3, "detail": None, "error": None},
        ],
    }
    assert await rows.fetchval("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM submissions)") == 0


async def test_an_unreadable_record_type_is_reported_and_the_others_are_counted(client) -> None:
    wrong_key = csv_type("customer", key=["ids"])
    planned = await preview(client, import_body(csv_type("order"), csv_type("nothing"), wrong_key))
    assert (planned["rows"], planned["batches"], planned["waves"]) == (None, None, None)
    order, nothing, customer = planned["by_record_type"]
    assert (order["rows"], order["batches"], order["error"]) == (2500, 5, None)
    assert (nothing["rows"], nothing["error"]["code"]) == (None, "source_missing")
    assert (customer["rows"], customer["error"]["code"]) == (None, "unknown_column")


@pytest.mark.quiet
async def test_a_count_that_takes_long_is_null_after_five_seconds_and_leaves_nothing_behind(client, rows) -> None:
    await rows.execute("CREATE TABLE held (id int PRIMARY KEY)")
    body = import_body(csv_type("order"), table_type("held"))
    async with rows.transaction():
        await rows.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        planned = await preview(client, body)
        assert SECONDS <= time.monotonic() - began < SECONDS + 2
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'held'::regclass"
        assert await rows.fetchval(waiting) == 0
    assert planned["rows"] is None
    order, held = planned["by_record_type"]
    assert order["rows"] == 2500
    assert (held["rows"], held["error"]["code"]) == (None, "count_timeout")
    assert (await preview(client, body))["rows"] == 2500


async def test_the_dry_run_of_another_tenant_doesnt_wait_for_all_of_one_that_sends_many(rows, database_url) -> None:
    """One tenant takes all places and has more to count; the table is locked until all wait."""
    await rows.execute("CREATE TABLE held (id int PRIMARY KEY)")
    content = content_of({"connections": {"erp": {"url_env": "ERP_URL", "tables": ["public.held"]}}})
    found = Configuration(2, content, datetime.now(UTC), "a test", {IdentityKey(IdentityKind.CONNECTION, "erp", ""): 5})
    sources = ConfiguredSources(None)
    sources.serve(found, Secrets({"ERP_URL": SecretStr(database_url)}, {}))
    previews = ImportPreviews(sources, seconds=60)
    in_force = InForce(found, registry_of(content, max_cells=1, number=2))
    counted: list[int] = []

    async def count(tenant_no: int) -> None:
        body = import_body(table_type("public.held"))
        sender = Sender("r", None, None)
        given = read_submission(body, in_force, tenant="any", tenant_no=tenant_no, key=None, sender=sender)
        planned = await previews.count(given)
        assert planned["rows"] == 0, planned
        counted.append(tenant_no)

    async with asyncio.TaskGroup() as tasks, rows.transaction():
        await rows.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        for tenant_no in [1] * 6 + [2]:
            tasks.create_task(count(tenant_no))
        await eventually_async(lambda: rows.fetchval(BLOCKED), what="the first are counting")
    await sources.aclose()
    assert len(counted) == 7
    assert counted.index(2) <= 3
