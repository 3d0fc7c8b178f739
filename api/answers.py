"""The bodies that a POST of a job is answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from api.job_links import job_json
from api.verdicts import Submission, Verdict
from db.submissions import NewJob, SubmittedJob


@dataclass(frozen=True, slots=True)
class Answer:
    """What a POST is answered with; `created` is the internal key of the job it created."""

    status_code: int
    body: Mapping[str, Any]
    is_replayed: bool = False
    created: int | None = None


def answer_created(one: Submission, job: NewJob, job_no: int, now: datetime) -> Answer:
    """Answer a submission that became a job; `now` is the time of its transaction."""
    shown = SubmittedJob(job_no, job.id, job.kind, "queued", now, job.spec_hash, None, None)
    dedup = _dedup(one, layer=None, reason="new", matched_on=None, times_seen=1)
    return Answer(202, _body(one, "created", job_json(shown), orjson.Fragment(one.spec_text), dedup), created=job_no)


def answer_known(one: Submission, verdict: Verdict, times_seen: int) -> Answer:
    """Answer a submission that joined a job, or repeat the first answer under its key; a purged spec is null."""
    spec = verdict.job.spec if verdict.job else None
    if verdict.outcome == "replayed" and verdict.known is not None:
        return Answer(verdict.status_code, {**verdict.known.key_answer, "spec": spec}, is_replayed=True)
    dedup = _dedup(one, layer="submission", reason=verdict.reason, matched_on=verdict.matched_on, times_seen=times_seen)
    return Answer(200, _body(one, "joined", job_json(verdict.job) if verdict.job else None, spec, dedup))


def answer_preview(one: Submission, verdict: Verdict | None, times_seen: int) -> Answer:
    """Say what a POST would do."""
    dedup = _dedup(
        one,
        layer="submission" if verdict else None,
        reason=verdict.reason if verdict else "new",
        matched_on=verdict.matched_on if verdict else None,
        times_seen=times_seen,
    )
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


def _dedup(
    one: Submission, *, layer: str | None, reason: str, matched_on: str | None, times_seen: int
) -> dict[str, Any]:
    return {
        "layer": layer,
        "reason": reason,
        "matched_on": matched_on,
        "spec_hash": one.normalized.spec_hash,
        "times_seen": times_seen,
    }
