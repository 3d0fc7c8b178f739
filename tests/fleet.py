"""Real workers as processes of their own, jobs to give them, and the audit of what they did."""

import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from broker import envelopes
from broker.envelopes import Envelope
from configuration.content import read_configuration, registry_of
from db import submissions, tallies
from db.engine import Connection
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.identities import wanted_by
from domain.normalize import Normalized, normalize
from domain.plan import pairs
from domain.regions import DEFAULT_REGIONS
from tests.configuration import commit_file
from tests.forks import Forked, fork
from tests.waiting import eventually, eventually_async

AUDIT = Path(__file__).with_name("audit.sql")


# Workers


class RunningWorker(Forked):
    """A worker's process."""

    def wait_for(self, event: str, /, *, seconds: float = 20, **fields: Any) -> dict[str, Any]:
        """The first log line of an event, once it is there."""

        def look() -> list[dict[str, Any]]:
            assert self.is_alive or self.events(event, **fields), self.output.read_text()[-3000:]
            return self.events(event, **fields)

        try:
            return eventually(look, seconds=seconds, what=f"{event} {fields}")[0]
        except AssertionError as error:
            error.add_note(self.output.read_text()[-3000:])
            raise

    def pause(self) -> None:
        """Stop it where it stands, as a long swap or a debugger would; it notices nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="stopped")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        self.process.terminate()

    def stop(self, *, seconds: float = 30) -> float:
        """Ask it to stop and wait; return how long that took. Fails unless it ended in order."""
        started = time.monotonic()
        self.ask_to_stop()
        self.process.join(seconds)
        assert self.process.exitcode == 0, (self.process.exitcode, self.output.read_text()[-3000:])
        return time.monotonic() - started


@dataclass
class Fleet:
    """Workers over one pair of stores; `settings` hold for all of them unless `start` says otherwise.

    A file that a worker is given is committed first, as `breakwater config apply` does.
    """

    database_url: str
    redis_url: str
    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: list[RunningWorker] = field(default_factory=list)
    applies_config: bool = True

    def start(self, count: int = 1, **settings: object) -> list[RunningWorker]:
        """Start so many workers and wait until they are at work; settings are named as in the environment."""
        started = [self.spawn(**settings) for _ in range(count)]
        for worker in started:
            worker.wait_for("worker_started")
        return started

    def spawn(self, **settings: object) -> RunningWorker:
        """Start a worker without waiting for it."""
        given = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "LOG_LEVEL": "info",
            **self.settings,
            **settings,
        }
        if self.applies_config and "CONFIG" in given:
            commit_file(self.database_url, str(given["CONFIG"]))
        environment = {f"BREAKWATER_{name}": str(value) for name, value in given.items()} | self.environment
        output = self.folder / f"worker-{len(self.workers)}.log"
        output.touch()
        self.workers.append(RunningWorker(fork("worker", environment, output), output))
        return self.workers[-1]

    def close(self) -> None:
        for worker in self.workers:
            if worker.is_alive:
                worker.kill()
            worker.process.close()


# Jobs


def body(*, models: int | list[str] = 1, regions: int = 1, questions: int = 1, **members: Any) -> dict[str, Any]:
    """A spec as a client would post it, of models × regions × questions cells."""
    return {
        "name": "fleet",
        "models": [f"model-{number}" for number in range(models)] if isinstance(models, int) else models,
        "regions": [region.name for region in DEFAULT_REGIONS[:regions]],
        "questions": [f"What is {number} plus {number}?" for number in range(questions)],
        **members,
    }


def body_of(cells: int, **members: Any) -> dict[str, Any]:
    """A spec of about so many cells: at most 9 fewer, exact up to 200."""
    questions = min(cells, 200 if cells <= 200 else 100)
    return body(models=cells // questions, questions=questions, **members)


async def seed(connection: Connection, bodies: Iterable[Mapping[str, Any]]) -> list[int]:
    """Store these jobs as a POST would under the configuration in force; return their numbers. Nobody is told."""
    found = await read_configuration(connection)
    assert found is not None
    registry = registry_of(found.content, max_cells=10_000, number=found.number)
    jobs = []
    for n, given in enumerate(bodies):
        normalized = normalize(given, registry)
        identity_nos = sorted(found.identity_nos[key] for key in wanted_by(normalized.spec, registry))
        jobs.append(_new_job(f"job-{time.time_ns():x}-{n}", normalized, found.number, identity_nos))
    stored = await submissions.insert_jobs(connection, DEFAULT_TENANT_NO, jobs)
    return [stored[job.id] for job in jobs]


def _new_job(job_id: str, normalized: Normalized, configuration_no: int, identity_nos: list[int]) -> NewJob:
    spec = normalized.spec
    return NewJob(
        id=job_id,
        kind=spec.kind,
        name=spec.name,
        spec_hash=normalized.spec_hash,
        planned=spec.planned,
        min_success_rate=spec.policy.min_success_rate,
        model_ids=[model.id for model in spec.models],
        region_ids=spec.regions,
        question_ids=[question.id for question in spec.questions],
        pairs=pairs(spec),
        submitted="{}",
        spec=orjson.dumps(spec.to_json()).decode(),
        normalization="[]",
        configuration_no=configuration_no,
        identity_nos=identity_nos,
    )


async def ring(redis_url: str, job_nos: Iterable[int], *, source: str = "initial") -> None:
    """Put a doorbell for each of these jobs on the stream."""
    async with broker(redis_url) as client:
        bells = [Envelope(job=job_no, source=source, enqueued_at=time.time()) for job_no in job_nos]
        await envelopes.publish(client, bells)


@asynccontextmanager
async def broker(redis_url: str) -> AsyncIterator[envelopes.Client]:
    """A client of the stream, closed at the end."""
    client = envelopes.connect(redis_url)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def connected(database_url: str, count: int = 1, **settings: str) -> AsyncIterator[list[Connection]]:
    """So many plain connections with these settings of the server, closed at the end."""
    connections = [await _connect(database_url, settings) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.terminate()


async def _connect(database_url: str, settings: dict[str, str]) -> Connection:
    connection: Connection = await asyncpg.connect(database_url, server_settings=settings)
    await connection.set_type_codec("json", encoder=lambda x: x, decoder=orjson.loads, schema="pg_catalog")
    return connection


# What became of them


async def all_ended(connection: Connection, *, seconds: float = 30) -> None:
    """Wait until every job is terminal."""

    async def look() -> bool:
        return await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == 0

    try:
        await eventually_async(look, seconds=seconds, what="every job ended")
    except AssertionError:
        raise AssertionError(f"after {seconds} s still open: {await _open(connection)}") from None


async def stream_is_empty(redis_url: str, *, seconds: float = 10) -> None:
    """Wait until every doorbell is answered."""
    async with broker(redis_url) as client:

        async def look() -> bool:
            return (await envelopes.look(client)).depth == 0

        await eventually_async(look, seconds=seconds, what="every doorbell answered")


async def _open(connection: Connection) -> dict[str, Any]:
    return {
        table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table} WHERE {condition} LIMIT 3")]
        for table, condition in (
            ("jobs", "finished_at IS NULL"),
            ("batches", "finished_at IS NULL"),
            ("ready", "true"),
        )
    }


async def statuses(connection: Connection) -> Counter[str]:
    """How many jobs are in each state."""
    rows = await connection.fetch("SELECT status FROM jobs")
    return Counter(row["status"] for row in rows)


async def attempts(connection: Connection) -> Counter[tuple[str, int]]:
    """How many cells are in each (state, attempts)."""
    rows = await connection.fetch("SELECT status, attempts FROM executions")
    return Counter((row["status"], row["attempts"]) for row in rows)


async def tallied(connection: Connection, series: str, **labels: str) -> float:
    """What the fleet counted of a series, over all labels that aren't given."""
    totals = await tallies.totals(connection)
    return sum(value for name, found, value in totals if name == series and labels.items() <= found.items())


async def find_violations(connection: Connection) -> list[tuple[str, int, str]]:
    """Recount everything by SQL; return (rule, job_no, what) of whatever breaks one."""
    rows = await connection.fetch(AUDIT.read_text())
    return [(row["rule"], row["job_no"], row["what"]) for row in rows]


async def assert_audit(connection: Connection) -> None:
    """Fail unless every job holds what it planned, once, and every kept count equals its recount."""
    found = await find_violations(connection)
    assert not found, (len(found), found[:20])
