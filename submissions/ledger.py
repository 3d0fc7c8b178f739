"""The record of a decided submission: its ledger row, its counters and its log lines. Writes to no store."""

from typing import Any

import orjson
import structlog

from db.counters import Increment, increment
from db.ledger import LedgerRow
from db.submission_events import SubmissionEvent
from domain.errors import BreakwaterError, DuplicateJob
from domain.notes import Action
from runtime.metrics import DUPLICATES_PREVENTED, JOBS_SUBMITTED
from submissions.decisions import Decision, Outcome
from submissions.responses import SubmissionResponse, status_code_of
from submissions.submission import Submission


def ledger_row(submission: Submission, decision: Decision) -> LedgerRow:
    """Return the row of a submission."""
    return LedgerRow(
        tenant_no=submission.tenant_no,
        job_no=decision.job_no,
        kind=submission.normalized.spec.kind,
        outcome=decision.outcome,
        reason=decision.reason,
        matched_on=decision.matched_on,
        status_code=status_code_of(decision),
        idempotency_key=submission.key,
        client=submission.sender.client,
        user_agent=submission.sender.user_agent,
        request_id=submission.sender.request_id,
        submitted_by=submission.sender.by,
        session_id=submission.sender.session_id,
    )


def submission_event(submission: Submission, decision: Decision) -> SubmissionEvent | None:
    """Return the event of the job that a submission was answered with; None where it was rejected."""
    if decision.job_no is None or decision.outcome is Outcome.REJECTED:
        return None
    sender = submission.sender
    data = {
        "outcome": decision.outcome,
        "reason": decision.reason,
        "matched_on": decision.matched_on,
        "request_id": sender.request_id,
    }
    source = sender.by or f"api:{sender.client or 'unknown'}"
    return SubmissionEvent(decision.job_no, source, orjson.dumps(data).decode())


def submission_counters(submission: Submission, decision: Decision) -> list[Increment]:
    """Return the increments that a submission makes."""
    kind, outcome = submission.normalized.spec.kind, decision.outcome.value
    counted = [increment(JOBS_SUBMITTED.name, 1, kind=kind, outcome=outcome)]
    if decision.is_duplicate or isinstance(decision.error, DuplicateJob):
        counted.append(increment(DUPLICATES_PREVENTED.name, 1, layer="submission", reason=decision.reason))
    if decision.outcome is Outcome.CREATED and (dropped := _dropped(submission)):
        counted.append(increment(DUPLICATES_PREVENTED.name, dropped, layer="spec", reason="dropped_duplicate"))
    return counted


def log_response(
    log: "structlog.stdlib.BoundLogger", submission: Submission, response: SubmissionResponse | BreakwaterError
) -> None:
    """Log a new job, or each duplicate that was prevented."""
    match response:
        case SubmissionResponse(created_job_no=None):
            reason = "same_key" if response.is_replayed else response.body["dedup"]["reason"]
            job_id = response.body["job"]["id"]
            _log_duplicate(log, submission, job_id, layer="submission", reason=reason, count=1)
        case SubmissionResponse():
            job_id = response.body["job"]["id"]
            planned = submission.normalized.planned.to_log()
            log.info("job_submitted", job_id=job_id, request_id=submission.sender.request_id, **planned)
            if dropped := _dropped(submission):
                _log_duplicate(log, submission, job_id, layer="spec", reason="dropped_duplicate", count=dropped)
        case DuplicateJob():
            job: Any = response.members["job"]
            _log_duplicate(log, submission, job["id"], layer="submission", reason=response.code, count=1)


def _log_duplicate(
    log: "structlog.stdlib.BoundLogger", submission: Submission, job_id: str, *, layer: str, reason: str, count: int
) -> None:
    log.info(
        "duplicate_prevented",
        layer=layer,
        reason=reason,
        count=count,
        job_id=job_id,
        request_id=submission.sender.request_id,
    )


def _dropped(submission: Submission) -> int:
    """Return how many duplicate models, regions and questions were dropped from the spec."""
    return sum(note.action is Action.DROPPED_DUPLICATE for note in submission.normalized.notes)
