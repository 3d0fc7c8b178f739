"""The rate of an import: a table of a PostgreSQL source, counted, cut, read and loaded by real workers.

Beside it, in the same run, by one process: COPY to a staging table and INSERT … ON CONFLICT of the same rows. In the
end every key and payload is compared with the source's.
"""

import asyncio
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import orjson

from bench.place import Place, show
from broker import envelopes
from broker.envelopes import Envelope
from configuration.applying import apply
from configuration.content import Configuration, Content
from db.engine import create_engine, in_transaction
from db.submissions import NewJob, insert_jobs
from db.tenants import DEFAULT_TENANT_NO
from domain.normalize import normalize
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Connection, Registry
from domain.sources.sql import SqlSource
from domain.table_names import TableName
from runtime.config_file import read_config_file

ROWS = 4_812_213
STAGED_ROWS = 5_000
WORKER = ["-m", "cli", "worker"]
TABLE = "source.transactionline"
CONFIG = f'[connections.erp]\nurl_env = "ERP_URL"\ntables = ["{TABLE}"]\n'
REGISTRY = Registry(
    DEFAULT_REGIONS,
    DEFAULT_QUESTIONS,
    connections={"erp": Connection(SqlSource.type_name, tables=frozenset([TableName(*TABLE.split("."))]))},
)
COLUMNS = ("record_set_no", "record_key", "payload", "job_no", "batch_no", "updated_at", "generation")
DIFFERING = """
SELECT count(*)
FROM source.transactionline AS s
FULL JOIN imported_records AS r ON r.record_key = s.line::text
WHERE s.line IS NULL OR r.record_key IS NULL OR r.payload ->> 'memo' <> s.memo
    OR (r.payload ->> 'amount')::numeric <> s.amount
"""


async def measure(place: Place, *, rows: int, workers: int, kill_every_seconds: float | None = None) -> None:
    """Import a table twice and print rows per second; with kills, the first time one worker dies every so often."""
    print(f"\nAn import of {rows:,} rows from PostgreSQL in batches of 500, {workers} workers")
    connection = await asyncpg.connect(place.database_url)
    await _make_source(connection, rows)
    folder = Path(place.folder)
    (folder / "import.toml").write_text(CONFIG)
    engine = create_engine(place.database_url)
    content = Content(read_config_file(folder / "import.toml"))
    applied = await in_transaction(engine, lambda c: apply(c, content, by="bench"))
    await engine.dispose()
    environment = {"BREAKWATER_CONFIG": str(folder / "import.toml"), "ERP_URL": place.database_url}
    if kill_every_seconds:
        environment |= {"BREAKWATER_LEASE_SECONDS": "2", "BREAKWATER_HEARTBEAT_SECONDS": "0.5"}
        environment |= {"BREAKWATER_RECONCILE_SECONDS": "0.5"}
    with place.processes(*[(WORKER, environment)] * workers) as processes:
        killer = asyncio.create_task(_kill(place, processes, environment, kill_every_seconds))
        seconds = await _import(place, connection, applied.configuration)
        killer.cancel()
        first = show("first import", [rows / seconds], "rows/s", f"{seconds:.1f} s")
        await _print_planning(connection)
        print(f"  worker memory at its peak: {max(map(_peak_mib, processes)):.0f} MiB")
        again = await _import(place, connection, applied.configuration)
        show("the same again, all unchanged", [rows / again], "rows/s", f"{again:.1f} s")
    await _print_batches(connection)
    differing = await connection.fetchval(DIFFERING)
    print(f"  rows that differ from the source's: {differing}")
    if differing:
        raise SystemExit("the import isn't what its source is")
    if not kill_every_seconds:
        floor = rows / await _floor(connection)
        show("COPY + INSERT … ON CONFLICT, one process", [floor], "rows/s", f"the import: {first / floor:.0%} of it")
    await connection.close()


async def _make_source(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
    await connection.execute("CREATE SCHEMA source")
    await connection.execute(
        f"""
        CREATE TABLE source.transactionline AS
        SELECT n AS line, n / 4 AS transaction, md5(n::text) AS memo, (n % 100000) / 100.0 AS amount, n % 500 AS account
        FROM generate_series(1, {rows}) AS n
        """
    )
    await connection.execute("ALTER TABLE source.transactionline ADD PRIMARY KEY (line)")
    await connection.execute("VACUUM ANALYZE source.transactionline")


async def _import(place: Place, connection: "asyncpg.Connection[asyncpg.Record]", found: Configuration) -> float:
    """Store an import, publish its envelope, and return the seconds until it is completed."""
    source = {"type": "sql", "connection": "erp", "table": "source.transactionline"}
    body = {"kind": "import", "name": "bench", "record_types": [{"id": "line", "key": ["line"], "source": source}]}
    normalized = normalize(body, REGISTRY)
    spec = orjson.dumps(normalized.spec.to_json()).decode()
    identity_nos = [found.identity_nos[key] for key in normalized.wanted]
    job = NewJob(
        DEFAULT_TENANT_NO,
        f"bench-{secrets.token_hex(8)}",
        "import",
        "bench",
        normalized.spec_hash,
        "{}",
        spec,
        "[]",
        found.number,
        identity_nos,
    )
    job_no = (await insert_jobs(connection, [job]))[job.tenant_no, job.id]
    redis = envelopes.connect(place.redis_url)
    started = time.perf_counter()
    await envelopes.publish(redis, [Envelope(job=job_no, source="initial", enqueued_at=time.time())])
    while (status := await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no)) in (
        "queued",
        "coordinating",
        "running",
    ):
        await asyncio.sleep(0.05)
    await redis.aclose()
    if status != "completed":
        raise SystemExit(f"the import ended as {status}")
    return time.perf_counter() - started


async def _kill(
    place: Place, processes: list[subprocess.Popen[bytes]], environment: Mapping[str, str], every: float | None
) -> None:
    """Kill one worker every so many seconds and start another."""
    while every:
        await asyncio.sleep(every)
        victim = processes.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        processes.append(place.start(WORKER, environment))
        print(f"  killed worker {victim.pid}")


async def _print_planning(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    row = await connection.fetchrow(
        """
        SELECT
            extract(EPOCH FROM c.at - b.at) AS seconds,
            (SELECT count(*) FROM batches) AS batches,
            (SELECT count(*) FROM waves) AS waves
        FROM events AS b
        JOIN events AS c USING (job_no)
        WHERE b.type = 'coordinating' AND c.type = 'coordinated'
        """
    )
    if row is not None:
        print(f"  counted, cut and planned in {row['seconds']:.2f} s: {row['batches']} batches, {row['waves']} waves")


async def _print_batches(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = await connection.fetch(
        """
        SELECT job_no, sum(rows_inserted) AS inserted, sum(rows_updated) AS updated, sum(rows_unchanged) AS unchanged
        FROM import_batches GROUP BY job_no ORDER BY job_no
        """
    )
    for row in rows:
        print(f"  inserted {row['inserted']:,}, updated {row['updated']:,}, unchanged {row['unchanged']:,}")


async def _floor(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """Load the same rows into a copy of the table, one chunk at a time; return the seconds that loading took."""
    await connection.execute("CREATE TABLE copied_records (LIKE imported_records INCLUDING ALL)")
    await connection.execute("CREATE TEMP TABLE staged (LIKE imported_records) ON COMMIT DELETE ROWS")
    seconds, after = 0.0, ""
    while chunk := await _chunk(connection, after):
        after = chunk[-1][1]
        began = time.perf_counter()
        async with connection.transaction():
            await connection.copy_records_to_table("staged", records=chunk, columns=COLUMNS)
            await connection.execute("INSERT INTO copied_records SELECT * FROM staged ON CONFLICT DO NOTHING")
        seconds += time.perf_counter() - began
    return seconds


async def _chunk(connection: "asyncpg.Connection[asyncpg.Record]", after: str) -> Sequence[tuple[object, ...]]:
    rows = await connection.fetch(
        """
        SELECT record_set_no, record_key, payload::text AS payload, job_no, batch_no, updated_at, generation
        FROM imported_records WHERE record_set_no = 1 AND record_key > $1 COLLATE "C" ORDER BY record_key LIMIT $2
        """,
        after,
        STAGED_ROWS,
    )
    return [tuple(row) for row in rows]


def _peak_mib(process: "subprocess.Popen[bytes]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
