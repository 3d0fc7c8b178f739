"""Submission responses: the status and JSON of a decision, for the API and other callers alike.

They are built in this layer since the first response under an Idempotency-Key is stored with its job, and the ledger
stores every status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from db.submissions import Known, NewJob, SubmittedJob
from domain.errors import BreakwaterError, KeyReused, Overloaded, QuotaExceeded, SpecRejected
from domain.key_limits import Quota
from domain.redaction import redacted
from submissions.decisions import Decision, Outcome
from submissions.job_links import job_json, json_time
from submissions.submission import Submission


@dataclass(frozen=True, slots=True)
class SubmissionResponse:
    """The response to a submission; `created_job_no` is the internal key of the job it created.

    `quotas` is what is used of the quotas of the key that submitted, where they were looked at.
    """

    status_code: int
    body: Mapping[str, Any]
    is_replayed: bool = False
    created_job_no: int | None = None
    quotas: Sequence[Quota] = ()


NEVER_RUNS = {
    "cancelled": "The job with this id was cancelled, and nothing of it runs again: send another id to have it run.",
    "failed": "The job with this id has failed: POST /jobs/{id}/retry runs what failed, another id runs all of it.",
}
"""Advice by status, for a job with the id that won't give a result by itself."""


def respond_created(submission: Submission, decision: Decision, job: NewJob, now: datetime) -> SubmissionResponse:
    """Answer a submission that became a job; `now` is the time of its transaction."""
    job_no = decision.job_no or 0
    shown = SubmittedJob(job_no, job.id, job.kind, "queued", now, job.spec_hash, None, None)
    dedup = _dedup(submission, decision, times_seen=1)
    body = _body(submission, "created", _job(submission, shown), submission.shown_spec, dedup)
    return SubmissionResponse(202, body, created_job_no=job_no, quotas=decision.quotas)


def respond_known(submission: Submission, decision: Decision, times_seen: int) -> SubmissionResponse:
    """Answer a submission that joined a job, or that repeats a key; a purged spec is null."""
    spec = redacted(decision.job.spec) if decision.job else None
    if decision.outcome is Outcome.REPLAYED and decision.known is not None:
        body = {**decision.known.key_answer, "spec": spec}
        return SubmissionResponse(status_code_of(decision), body, is_replayed=True)
    dedup = _dedup(submission, decision, times_seen=times_seen)
    return SubmissionResponse(
        200, _body(submission, "joined", _job(submission, decision.job) if decision.job else None, spec, dedup)
    )


def at_status(response: SubmissionResponse, status: str) -> SubmissionResponse:
    """Return the response as it is once its job has this status."""
    dedup = response.body["dedup"]
    detail = NEVER_RUNS.get(status) if dedup["matched_on"] == "id" else dedup["detail"]
    body = {**response.body, "job": {**response.body["job"], "status": status}, "dedup": {**dedup, "detail": detail}}
    return replace(response, body=body)


def respond_preview(submission: Submission, decision: Decision, times_seen: int) -> SubmissionResponse:
    """Answer a dry run with the job that the submission would create."""
    dedup = _dedup(submission, decision, times_seen=times_seen)
    body = _body(submission, "planned", None, submission.shown_spec, dedup)
    return SubmissionResponse(200, body, quotas=decision.quotas)


def rejection_of(submission: Submission, decision: Decision) -> BreakwaterError | None:
    """Return the error of a rejection, which shows the job in conflict; None for other decisions."""
    error = decision.error
    if error is not None and decision.job is not None:
        error.members = {"job": _job(submission, decision.job), **error.members}
    return error


def status_code_of(decision: Decision) -> int:
    """Return the HTTP status of the response, for the ledger."""
    match decision.outcome:
        case Outcome.CREATED:
            return 202
        case Outcome.JOINED:
            return 200
        case Outcome.REPLAYED if decision.known is not None and decision.known.key_status_code is not None:
            return decision.known.key_status_code
        case _ if isinstance(decision.error, Overloaded):
            return 503
        case _ if isinstance(decision.error, QuotaExceeded):
            return 429
        case _:
            return 422 if isinstance(decision.error, (KeyReused, SpecRejected)) else 409


def _job(submission: Submission, job: SubmittedJob) -> Mapping[str, Any]:
    kind = submission.kinds.get(job.kind)  # a later release may have more kinds
    return job_json(job, kind.parts if kind else ())


def _body(
    submission: Submission, outcome: str, job: Mapping[str, Any] | None, spec: object, dedup: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "job": job,
        "spec": spec,
        "normalization": orjson.Fragment(submission.notes_text),
        "planned": submission.normalized.planned.to_json(),
        "dedup": dedup,
    }


def _dedup(submission: Submission, decision: Decision, *, times_seen: int) -> dict[str, Any]:
    is_known = decision.job is not None or decision.outcome is Outcome.REPLAYED
    return {
        "layer": "submission" if is_known else None,
        "reason": decision.reason,
        "matched_on": decision.matched_on,
        "spec_hash": submission.normalized.spec_hash,
        "times_seen": times_seen,
        "detail": NEVER_RUNS.get(decision.job.status) if decision.job and decision.matched_on == "id" else None,
        "previous": _previous(decision.known),
    }


def _previous(known: Known | None) -> dict[str, Any] | None:
    """Return the last job of the same content that isn't joined any more."""
    if known is None or known.previous_id is None or known.previous_finished_at is None:
        return None
    return {
        "job_id": known.previous_id,
        "status": known.previous_status,
        "finished_at": json_time(known.previous_finished_at),
    }
