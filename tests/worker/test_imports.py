"""Imports as real workers run them: surveyed once, loaded wave by wave, every row where it belongs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from configuration.content import Content
from db.engine import Connection, create_engine
from db.triggers import trigger_manually
from runtime.config_file import read_config_file
from tests.support.configurations import commit_at, commit_file
from tests.support.connections import publish_envelopes
from tests.support.import_bodies import configured, csv_type, import_body, store_import
from tests.support.import_steps import ImportSteps
from tests.support.outcomes import all_ended
from tests.support.suiteql_server import TOKEN, SuiteqlServer, suiteql_server
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

CUSTOMERS = "id,name\n" + "".join(f"{n},Customer {n}\n" for n in range(1, 1201))
ORDERS = "customer,line,amount\n" + "".join(f"{1 + n % 1200},{n},{n}.50\n" for n in range(2500))


@pytest.fixture
def files(fleet: Fleet, tmp_path: Path) -> Path:
    """The import root of the fleet's workers, with two files."""
    fleet.settings = {**fleet.settings, "CONFIG": configured(tmp_path), "DATA_DIR": tmp_path / "state"}
    fleet.environment = {"ERP_URL": fleet.database_url}
    commit_file(fleet.database_url, configured(tmp_path))
    (tmp_path / "data" / "customer.csv").write_text(CUSTOMERS)
    (tmp_path / "data" / "order.csv").write_text(ORDERS)
    return tmp_path / "data"


@pytest.fixture
def service() -> Iterator[SuiteqlServer]:
    """A SuiteQL service."""
    with suiteql_server() as server:
        yield server


async def test_a_named_query_of_a_suiteql_service_is_imported_behind_its_cap(
    fleet, connection, service, tmp_path, redis_url
) -> None:
    service.database.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, memo TEXT)")
    rows = ((n, f"Line {n}") for n in range(1, 100_501))
    service.database.executemany("INSERT INTO line VALUES (?, ?)", rows)
    (tmp_path / "suiteql.toml").write_text(
        '[connections.netsuite]\ntype = "suiteql"\nurl_env = "NETSUITE_URL"\ntoken_env = "NETSUITE_TOKEN"\n'
        '[connections.netsuite.queries]\nline = "SELECT id, memo FROM line"\n'
    )
    fleet.settings = {"CONFIG": tmp_path / "suiteql.toml"}
    fleet.environment = {"NETSUITE_URL": service.url, "NETSUITE_TOKEN": TOKEN}
    commit_at(fleet.database_url, Content(read_config_file(tmp_path / "suiteql.toml")))
    source = {"type": "suiteql", "connection": "netsuite", "query": "line"}
    given = import_body({"id": "line", "key": ["id"], "source": source}, policy={"batch_size": 1000})
    job_no = await store_import(connection, given)
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection, seconds=90)
    assert await status(connection, job_no) == ("completed", None)
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 100_500
    assert service.most_in_flight <= service.concurrency


async def status(connection: Connection, job_no: int) -> tuple[str, str | None]:
    row = await connection.fetchrow("SELECT status, error_code, error_detail FROM jobs WHERE job_no = $1", job_no)
    assert row is not None
    return row["status"], row["error_code"]


@pytest.mark.parametrize("rows", [60_000, 120_000])
async def test_an_import_of_too_many_batches_fails_before_anything_is_written_and_names_a_batch_size(
    fleet, connection, files, redis_url, rows
) -> None:
    (files / "customer.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(rows)))
    (files / "order.csv").write_text("customer,line\n" + "".join(f"1,{n}\n" for n in range(rows)))
    types = [csv_type("order", key=["customer", "line"], depends_on=["customer"]), csv_type("customer")]
    job_no = await store_import(connection, import_body(*types, policy={"batch_size": 1}))
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    assert await status(connection, job_no) == ("failed", "too_many_batches")
    detail = await connection.fetchval("SELECT error_detail FROM jobs WHERE job_no = $1", job_no)
    enough = -(-2 * rows // 99_996)
    assert f"{2 * rows} rows in batches of 1" in detail
    assert f"give policy.batch_size {enough} or more" in detail
    for table in ("waves", "batches", "record_types", "record_sets"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    job_no = await store_import(
        connection, import_body(*types, policy={"batch_size": enough, "batches_per_wave": 10_000})
    )
    await publish_envelopes(redis_url, [job_no])

    async def planned() -> int:
        return await connection.fetchval("SELECT planned FROM jobs WHERE job_no = $1", job_no)

    assert 2 * rows / enough <= await eventually_async(planned, seconds=30) <= 100_000


async def test_two_files_of_which_one_depends_on_the_other_are_imported_in_two_waves(
    fleet, connection, files, redis_url
) -> None:
    job_no = await store_import(
        connection,
        import_body(csv_type("order", key=["customer", "line"], depends_on=["customer"]), csv_type("customer")),
    )
    fleet.start(1)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    assert await status(connection, job_no) == ("completed", None)
    waves = await connection.fetch("SELECT wave_no, level, status, total_batches FROM waves ORDER BY wave_no")
    assert [tuple(row) for row in waves] == [(1, 0, "completed", 3), (2, 1, "completed", 5)]
    rows = await connection.fetch(
        """
        SELECT s.record_type, count(*) AS rows, min(r.record_key) AS first_key
        FROM imported_records AS r JOIN record_sets AS s USING (record_set_no) GROUP BY 1 ORDER BY 1
        """
    )
    assert [tuple(row) for row in rows] == [("customer", 1200, "1"), ("order", 2500, '["1","0"]')]
    triggers = await connection.fetch("SELECT source, outcome FROM triggers WHERE job_no = $1", job_no)
    assert [tuple(row) for row in triggers] == [("initial", "won")]


async def test_rows_that_are_kept_by_another_key_do_not_come_twice(fleet, connection, files, redis_url) -> None:
    fleet.start(1)
    jobs = []
    for key in (["customer", "line"], ["line"]):
        jobs.append(await store_import(connection, import_body(csv_type("order", key=key), csv_type("customer"))))
        await publish_envelopes(redis_url, jobs[-1:])
        await all_ended(connection)
    assert [await status(connection, job) for job in jobs] == [("completed", None), ("failed", "key_changed")]
    assert await connection.fetchval("SELECT count(*) FROM imported_records") == 3700
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE job_no = $1", jobs[1]) == 0
    detail = await connection.fetchval("SELECT error_detail FROM jobs WHERE job_no = $1", jobs[1])
    assert detail.startswith('Dataset ledger keeps record type order by the key ["customer","line"]')
    assert '["line"]' in detail
    assert "another `dataset`" in detail
    triggers = await connection.fetch("SELECT source, outcome FROM triggers WHERE job_no = $1", jobs[1])
    assert [tuple(row) for row in triggers] == [("initial", "failed")]


async def test_an_import_that_was_rescheduled_is_tried_at_once_when_it_is_triggered(
    fleet, connection, files, redis_url, database_url
) -> None:
    job_no = await store_import(connection, import_body(csv_type("customer")))
    engine = create_engine(database_url, size=2, pinned_plans=True)
    ledger = ImportSteps(engine)
    await ledger.reschedule(await ledger.begin(job_no), "source_away", "Nobody answers.", seconds=3600)
    await engine.dispose()
    fleet.start(1)
    async with connection.transaction():
        tenant_no, job_id = await connection.fetchrow("SELECT tenant_no, id FROM jobs WHERE job_no = $1", job_no)
        await trigger_manually(connection, tenant_no, job_id, 1)
    await publish_envelopes(redis_url, [job_no], source="manual")
    await all_ended(connection)
    assert await status(connection, job_no) == ("completed", None)
    triggers = await connection.fetch("SELECT source, outcome FROM triggers WHERE job_no = $1 ORDER BY 1", job_no)
    assert [tuple(row) for row in triggers] == [("fallback", "won"), ("initial", "failed"), ("manual", "joined")]
