"""The row of a new job: what a submission is stored as."""

import secrets
import time
from dataclasses import replace

import orjson

from db.submissions import NewJob
from domain.plan import pairs
from domain.redaction import redacted
from domain.spec import JobSpec
from submissions.submission import Submission


def new_job(submission: Submission) -> NewJob:
    """Return the job to store, under its own id or a new one."""
    spec = submission.normalized.spec
    job = NewJob(
        id=spec.id or _new_id(),
        kind=spec.kind,
        name=spec.name,
        spec_hash=submission.normalized.spec_hash,
        submitted=orjson.dumps(redacted(submission.body)).decode(),
        spec=submission.spec_text.decode(),
        normalization=submission.notes_text.decode(),
        configuration_no=submission.in_force.configuration.number,
        identity_nos=submission.identity_nos,
    )
    return _with_plan(job, spec) if isinstance(spec, JobSpec) else job


def _with_plan(job: NewJob, spec: JobSpec) -> NewJob:
    return replace(
        job,
        planned=spec.planned,
        min_success_rate=spec.policy.min_success_rate,
        model_ids=[model.id for model in spec.models],
        region_ids=spec.regions,
        question_ids=[question.id for question in spec.questions],
        pairs=pairs(spec),
    )


def _new_id() -> str:
    """Return an id that sorts by its time: milliseconds since the epoch, then random digits."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
