"""A dry run of an import counts the rows that it would read, within its time, and stores nothing."""

import time

import pytest

from tests.support.import_bodies import configured, csv_type, import_body, table_type
from tests.support.service import api_client

SECONDS = 5.0


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
