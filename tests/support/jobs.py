"""Specs as a client would post them, and jobs stored as a POST would store them."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from configuration.content import read_configuration, registry_of
from db import submissions
from db.engine import Connection
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.identities import number_for
from domain.kinds import Normalized
from domain.normalize import normalize
from domain.registry import DEFAULT_REGIONS
from domain.tenant_names import DEFAULT_TENANT

COPY_QUEUED = """
WITH copies AS (
    INSERT INTO jobs (
        tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate, configuration_no, identity_nos,
        overdue_at
    )
    SELECT
        j.tenant_no, j.id || '-' || n, j.kind, j.name, j.spec_hash, j.turn, j.planned, j.min_success_rate,
        j.configuration_no, j.identity_nos, j.overdue_at
    FROM jobs AS j
    CROSS JOIN generate_series(1, $2::int) AS n
    WHERE j.job_no = $1
    RETURNING job_no
)
INSERT INTO specs (
    job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, submitted, spec, normalization
)
SELECT
    c.job_no, s.tenant_no, s.name, s.spec_hash, s.model_ids, s.region_ids, s.question_ids, s.pairs, s.submitted, s.spec,
    s.normalization
FROM copies AS c
CROSS JOIN specs AS s
WHERE s.job_no = $1
"""


def job_body(*, models: int | list[str] = 1, regions: int = 1, questions: int = 1, **members: Any) -> dict[str, Any]:
    """A spec as a client would post it, of models × regions × questions cells."""
    return {
        "name": "fleet",
        "models": [f"model-{number}" for number in range(models)] if isinstance(models, int) else models,
        "regions": [region.name for region in DEFAULT_REGIONS[:regions]],
        "questions": [f"What is {number} plus {number}?" for number in range(questions)],
        **members,
    }


def job_body_of(cells: int, **members: Any) -> dict[str, Any]:
    """A spec of about so many cells: at most 9 fewer, exact up to 200."""
    questions = min(cells, 200 if cells <= 200 else 100)
    return job_body(models=cells // questions, questions=questions, **members)


async def store_jobs(
    connection: Connection,
    bodies: Iterable[Mapping[str, Any]],
    *,
    tenant_no: int = DEFAULT_TENANT_NO,
    tenant: str = DEFAULT_TENANT,
) -> list[int]:
    """Store these jobs as a POST would under the configuration in force; return their numbers.

    They are read as the tenant of this name may ask. No envelope is published.
    """
    found = await read_configuration(connection)
    assert found is not None
    registry = registry_of(found.content, max_cells=10_000, number=found.number, tenant=tenant)
    jobs = []
    for n, given in enumerate(bodies):
        normalized = normalize(given, registry)
        identity_nos = sorted(number_for(tenant, key, found.identity_nos) for key in normalized.wanted)
        jobs.append(_new_job(tenant_no, f"job-{time.time_ns():x}-{n}", normalized, found.number, identity_nos))
    stored = await submissions.insert_jobs(connection, jobs)
    return [stored[job.tenant_no, job.id] for job in jobs]


async def queue_copies(connection: Connection, job_no: int, count: int) -> None:
    """Queue so many jobs like this one, which come next after it; quicker than storing as many."""
    await connection.execute(COPY_QUEUED, job_no, count)


def _new_job(
    tenant_no: int, job_id: str, normalized: Normalized, configuration_no: int, identity_nos: list[int]
) -> NewJob:
    spec = normalized.spec
    return NewJob(
        tenant_no=tenant_no,
        id=job_id,
        kind=spec.kind,
        name=spec.name,
        spec_hash=normalized.spec_hash,
        cells=spec.cells,
        submitted="{}",
        spec=orjson.dumps(spec.to_json()).decode(),
        normalization="[]",
        configuration_no=configuration_no,
        identity_nos=identity_nos,
    )
