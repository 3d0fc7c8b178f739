"""Some files of the corpus, imported by a real worker: PostgreSQL holds the rows that a strict reader sees."""

import json

from db.engine import Connection
from tests.corpus.corpus import draw
from tests.corpus.expected import Case, Reject, Row, is_same
from tests.support.connections import publish_envelopes
from tests.support.erp_source import Erp
from tests.support.import_bodies import import_body, store_import
from tests.support.outcomes import all_ended
from tests.support.workers import Fleet

RECORDS = """
SELECT s.record_type, r.record_key, r.payload::text AS payload
FROM imported_records AS r JOIN record_sets AS s USING (record_set_no)
"""
REJECTS = """
SELECT i.record_type_no AS type_no, r.position
FROM rejects AS r JOIN import_batches AS i USING (job_no, batch_no)
"""


async def test_a_worker_writes_the_same_rows_as_a_strict_reader_sees(
    fleet: Fleet, erp: Erp, connection: Connection, redis_url: str
) -> None:
    cases = readable_cases()
    types = []
    for number, case in enumerate(cases):
        (erp.data / case.name).write_bytes(case.content)
        types.append({"id": f"t{number}", "key": list(case.key), "source": {"type": "file", "path": case.name}})
    body = import_body(*types, policy={"max_rejects": 1000, "batch_size": 7})
    job_no = await store_import(connection, body)
    fleet.start(1, LEASE_SECONDS=30, HEARTBEAT_SECONDS=5)
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection, seconds=60)
    assert await connection.fetchval("SELECT status FROM jobs") == "completed"
    found = {
        (row["record_type"], row["record_key"]): json.loads(row["payload"]) for row in await connection.fetch(RECORDS)
    }
    rejects = sorted((row["type_no"], row["position"]) for row in await connection.fetch(REJECTS))
    wanted = {
        (f"t{number}", str(record.payload[case.key[0]])): record.payload
        for number, case in enumerate(cases)
        for record in case.expected.records
        if isinstance(record, Row)
    }
    assert found.keys() == wanted.keys()
    assert [key for key, payload in wanted.items() if not is_same(payload, found[key])] == []
    assert rejects == sorted(
        (number, position)
        for number, case in enumerate(cases)
        for position, record in enumerate(case.expected.records)
        if isinstance(record, Reject)
    )
    assert rejects


def readable_cases() -> list[Case]:
    """Return two files of each format that hold rows and needn't be refused, some with rejects among them."""
    cases: list[Case] = []
    for kind in ("csv", "jsonl", "parquet"):
        drawn = (draw(f"{kind}-{number}") for number in range(1000))
        fit = (case for case in drawn if case.expected.refusal is None and 5 < len(case.expected.records) < 100)
        cases += [case for case, _ in zip(fit, range(2), strict=False)]
    return cases
