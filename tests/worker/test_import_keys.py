"""Rows whose keys compare equal in their source are one record, however the source spells them, and from before too."""

import json

from db.engine import Connection
from tests.support.connections import publish_envelopes
from tests.support.erp_source import Erp
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.outcomes import all_ended
from tests.support.workers import Fleet

PLACED = {**table_type("keyed", key=["number"]), "source": {"type": "sql", "connection": "erp", "table": "erp.keyed"}}
SEVERAL = {**PLACED, "id": "several", "key": ["code", "number", "share"]}


async def make_table(connection: Connection) -> None:
    await connection.execute(
        """
        CREATE SCHEMA erp;
        CREATE TABLE erp.keyed (number numeric PRIMARY KEY, code char(4), share float8, v int);
        INSERT INTO erp.keyed VALUES (1.0, 'a', 0, 1), (10.50, 'ab', -0.0, 2), (200, 'c', 1, 3);
        """
    )


async def run_import(connection: Connection, redis_url: str) -> dict[str, int]:
    job_no = await store_import(connection, import_body(PLACED, SEVERAL))
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection)
    counted = await connection.fetchrow(
        """
        SELECT
            sum(rows_inserted)::int AS inserted,
            sum(rows_updated)::int AS updated,
            sum(rows_unchanged)::int AS unchanged
        FROM import_batches WHERE job_no = $1
        """,
        job_no,
    )
    return dict(counted)


async def records(connection: Connection, record_type: str) -> dict[str, object]:
    rows = await connection.fetch(
        """
        SELECT r.record_key, r.payload::text FROM imported_records AS r JOIN record_sets AS s USING (record_set_no)
        WHERE s.record_type = $1 ORDER BY 1
        """,
        record_type,
    )
    return {row["record_key"]: json.loads(row["payload"]) for row in rows}


async def test_a_key_that_its_source_rescales_stays_one_record(
    fleet: Fleet, erp: Erp, connection: Connection, redis_url: str
) -> None:
    await make_table(connection)
    fleet.start(1)
    assert await run_import(connection, redis_url) == {"inserted": 6, "updated": 0, "unchanged": 0}
    await connection.execute(
        """
        UPDATE erp.keyed SET number = 1.000, share = '-0' WHERE v = 1;
        UPDATE erp.keyed SET number = 10.5, share = 0 WHERE v = 2;
        UPDATE erp.keyed SET number = 200.00 WHERE v = 3;
        ALTER TABLE erp.keyed ALTER code TYPE char(6);
        """
    )
    assert await run_import(connection, redis_url) == {"inserted": 0, "updated": 6, "unchanged": 0}
    rows = await connection.fetch("SELECT number::text, code, share, v FROM erp.keyed")
    written = [{name: row[name] for name in ("number", "code", "share", "v")} for row in rows]
    assert sorted(await records(connection, "keyed")) == ["1", "10.5", "200"]
    assert sorted(await records(connection, "several")) == ['["a","1",0.0]', '["ab","10.5",0.0]', '["c","200",1.0]']
    for record_type in ("keyed", "several"):
        kept = (await records(connection, record_type)).values()
        assert sorted(kept, key=lambda row: row["v"]) == sorted(written, key=lambda row: row["v"])


async def test_records_from_before_are_renamed_once_and_the_newest_of_equal_ones_stays(
    fleet: Fleet, erp: Erp, connection: Connection, redis_url: str
) -> None:
    await make_table(connection)
    fleet.start(1)
    await run_import(connection, redis_url)
    # As an earlier version left it, after the source had rescaled a key.
    await connection.execute(
        """
        UPDATE record_sets SET keys_by_value = false;
        UPDATE imported_records AS r SET record_key = n.before
        FROM (VALUES
            ('1', '1.0'), ('10.5', '10.50'),
            ('["a","1",0.0]', '["a   ","1.0",0.0]'), ('["ab","10.5",0.0]', '["ab  ","10.50",-0.0]'),
            ('["c","200",1.0]', '["c   ","200",1.0]')
        ) AS n (now, before)
        WHERE r.record_key = n.now;
        INSERT INTO imported_records (record_set_no, record_key, payload, job_no, batch_no, generation, updated_at)
        SELECT
            r.record_set_no, n.key, json_build_object('v', n.v), r.job_no, r.batch_no, r.generation,
            r.updated_at + n.later
        FROM (VALUES
            ('1.00', -1, interval '-1 day'), ('10.500', -2, interval '1 day'), ('3.0', -3, interval '0')
        ) AS n (key, v, later)
        JOIN record_sets AS s ON s.record_type = 'keyed'
        JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = '200';
        ALTER TABLE imported_records ADD COLUMN seen json;
        UPDATE imported_records SET seen = payload;
        """
    )
    assert await run_import(connection, redis_url) == {"inserted": 0, "updated": 1, "unchanged": 5}
    assert sorted(await records(connection, "keyed")) == ["1", "10.5", "200", "3"]
    assert sorted(await records(connection, "several")) == ['["a","1",0.0]', '["ab","10.5",0.0]', '["c","200",1.0]']
    seen = "SELECT seen ->> 'v' FROM imported_records WHERE record_key = $1"
    assert [await connection.fetchval(seen, key) for key in ("1", "10.5", "3")] == ["1", "-2", "-3"]
    assert await connection.fetchval("SELECT bool_and(keys_by_value) FROM record_sets")
