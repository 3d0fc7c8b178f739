"""The bodies that a POST of a job is answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from api.job_links import job_json, json_time
from api.verdicts import Submission, Verdict
from db.submissions import Known, NewJob, SubmittedJob


@dataclass(frozen=True, slots=True)
class Answer:
    """What a POST is answered with; `created` is the internal key of the job it created."""

    status_code: int
    body: Mapping[str, Any]
    is_replayed: bool = False
    created: int | None = None


NEVER_RUNS = {
    "cancelled": "The job with this id was cancelled, and nothing of it runs again: send another id to have it run.",
    "failed": "The job with this id has failed: POST /jobs/{id}/retry runs what failed, another id runs all of it.",
}
"""What to do about a job that an id stands for and that gives no result by itself, by the job's status."""


def answer_created(one: Submission, verdict: Verdict, job: NewJob, now: datetime) -> Answer:
    """Answer a submission that became a job; `now` is the time of its transaction."""
    job_no = verdict.job_no or 0
    shown = SubmittedJob(job_no, job.id, job.kind, "queued", now, job.spec_hash, None, None)
    dedup = _dedup(one, verdict, times_seen=1)
    return Answer(202, _body(one, "created", job_json(shown), orjson.Fragment(one.spec_text), dedup), created=job_no)


def answer_known(one: Submission, verdict: Verdict, times_seen: int) -> Answer:
    """Answer a submission that joined a job, or repeat the first answer under its key; a purged spec is null."""
    spec = verdict.job.spec if verdict.job else None
    if verdict.outcome == "replayed" and verdict.known is not None:
        return Answer(verdict.status_code, {**verdict.known.key_answer, "spec": spec}, is_replayed=True)
    dedup = _dedup(one, verdict, times_seen=times_seen)
    return Answer(200, _body(one, "joined", job_json(verdict.job) if verdict.job else None, spec, dedup))


def answer_preview(one: Submission, verdict: Verdict, times_seen: int) -> Answer:
    """Say what a POST would do."""
    dedup = _dedup(one, verdict, times_seen=times_seen)
    return Answer(200, _body(one, "planned", None, orjson.Fragment(one.spec_text), dedup))


def _body(
    one: Submission, outcome: str, job: Mapping[str, Any] | None, spec: object, dedup: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "job": job,
        "spec": spec,
        "normalization": orjson.Fragment(one.notes_text),
        "planned": one.normalized.planned.to_json(),
        "dedup": dedup,
    }


def _dedup(one: Submission, verdict: Verdict, *, times_seen: int) -> dict[str, Any]:
    is_known = verdict.job is not None or verdict.outcome == "replayed"
    return {
        "layer": "submission" if is_known else None,
        "reason": verdict.reason,
        "matched_on": verdict.matched_on,
        "spec_hash": one.normalized.spec_hash,
        "times_seen": times_seen,
        "detail": NEVER_RUNS.get(verdict.job.status) if verdict.job and verdict.matched_on == "id" else None,
        "previous": _previous(verdict.known),
    }


def _previous(known: Known | None) -> dict[str, Any] | None:
    """Return the last job of the content that isn't joined any more."""
    if known is None or known.previous_id is None or known.previous_finished_at is None:
        return None
    return {
        "job_id": known.previous_id,
        "status": known.previous_status,
        "finished_at": json_time(known.previous_finished_at),
    }
