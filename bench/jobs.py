"""Jobs of a given shape, stored as a POST would store them but without HTTP."""

import secrets
import time
from typing import Any

import orjson

from broker import envelopes
from broker.envelopes import Client, Envelope
from configuration.content import Configuration, Content, read_configuration, registry_of
from db import submissions
from db.engine import Connection, Engine, connect, in_transaction
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.normalize import Normalized, normalize

SIMULATED = Content(is_simulated=True)
"""The configuration of a benchmark: echo answers under every name."""
REGISTRY = registry_of(SIMULATED, max_cells=10_000)
SHAPES = {"10,000-cell": (20, 3, 166), "240-cell": (8, 3, 10), "one-cell": (1, 1, 1)}
AT_ONCE = 500


def body_of(shape: tuple[int, int, int], number: int = 0) -> dict[str, Any]:
    """Return a spec of models × regions × questions; each `number` gives a different spec."""
    models, regions, questions = shape
    return {
        "name": f"bench-{number}",
        "models": [f"model-{index}" for index in range(models)],
        "regions": ["us-east", "eu-west", "asia-pacific"][:regions],
        "questions": [f"What is the capital of country number {index}?" for index in range(questions)],
        "parameters": {"max_tokens": 500, "temperature": 0.1},
    }


async def store(engine: Engine, shape: tuple[int, int, int], count: int) -> list[int]:
    """Store `count` queued jobs of this shape; return their keys."""
    normalized = normalize(body_of(shape), REGISTRY)
    async with connect(engine) as connection:
        found = await read_configuration(connection)
    if found is None:
        raise SystemExit("no configuration is committed in the place of this benchmark")
    job_nos: list[int] = []
    for start in range(0, count, AT_ONCE):
        jobs = [_new_job(normalized, shape, found) for _ in range(min(AT_ONCE, count - start))]

        async def unit(connection: Connection, jobs: list[NewJob] = jobs) -> dict[tuple[int, str], int]:
            return await submissions.insert_jobs(connection, jobs)

        job_nos += (await in_transaction(engine, unit)).values()
    return job_nos


async def publish_envelopes(redis: Client, job_nos: list[int]) -> None:
    """Announce these jobs."""
    for start in range(0, len(job_nos), AT_ONCE):
        now = time.time()
        batch = [Envelope(job=job_no, source="initial", enqueued_at=now) for job_no in job_nos[start : start + AT_ONCE]]
        await envelopes.publish(redis, batch)


def _new_job(normalized: Normalized, shape: tuple[int, int, int], found: Configuration) -> NewJob:
    spec = normalized.spec
    return NewJob(
        tenant_no=DEFAULT_TENANT_NO,
        id=f"bench-{secrets.token_hex(8)}",
        kind="inference",
        name=spec.name,
        spec_hash=normalized.spec_hash,
        cells=spec.cells,
        submitted=orjson.dumps(body_of(shape)).decode(),
        spec=orjson.dumps(spec.to_json()).decode(),
        normalization="[]",
        configuration_no=found.number,
        identity_nos=sorted(found.identity_nos[key] for key in normalized.wanted),
    )
