"""The row of the new job that a submission becomes."""

import secrets
import time

import orjson

from db.submissions import NewJob
from submissions.submission import Submission


def new_job(submission: Submission) -> NewJob:
    """Return the job to store, under its own id or a new one."""
    spec = submission.normalized.spec
    return NewJob(
        tenant_no=submission.tenant_no,
        id=spec.id or _new_id(),
        kind=spec.kind,
        name=spec.name,
        spec_hash=submission.normalized.spec_hash,
        submitted=orjson.dumps(submission.shown_body).decode(),
        spec=submission.spec_text.decode(),
        normalization=submission.notes_text.decode(),
        configuration_no=submission.in_force.configuration.number,
        identity_nos=submission.identity_nos,
        cells=spec.cells,
    )


def _new_id() -> str:
    """Return an id that sorts by its time: milliseconds since the epoch, then random digits."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
