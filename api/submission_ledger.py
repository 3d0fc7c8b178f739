"""What a decided submission leaves behind: its row in the ledger, its counters, and its log lines. No I/O of stores."""

from typing import Any

import structlog

from api.answers import Answer
from api.verdicts import Submission, Verdict
from db.submissions import LedgerRow
from db.tallies import Tally, tally
from domain.errors import BreakwaterError, DuplicateJob
from domain.notes import Action
from runtime.metrics import DUPLICATES_PREVENTED, JOBS_SUBMITTED


def ledger_row(one: Submission, verdict: Verdict) -> LedgerRow:
    """Return the row of a submission."""
    return LedgerRow(
        job_no=verdict.job_no,
        kind=one.normalized.spec.kind,
        outcome=verdict.outcome,
        reason=verdict.reason,
        matched_on=verdict.matched_on,
        status_code=verdict.status_code,
        idempotency_key=one.key,
        client=one.sender.client,
        user_agent=one.sender.user_agent,
        request_id=one.sender.request_id,
    )


def submission_tallies(one: Submission, verdict: Verdict) -> list[Tally]:
    """Return what a submission counts for."""
    counted = [tally(JOBS_SUBMITTED.name, 1, kind=one.normalized.spec.kind.value, outcome=verdict.outcome)]
    if verdict.outcome in {"joined", "replayed"} or isinstance(verdict.error, DuplicateJob):
        counted.append(tally(DUPLICATES_PREVENTED.name, 1, layer="submission", reason=verdict.reason))
    if verdict.outcome == "created" and (dropped := _dropped(one)):
        counted.append(tally(DUPLICATES_PREVENTED.name, dropped, layer="spec", reason="dropped_duplicate"))
    return counted


def log_answer(log: "structlog.stdlib.BoundLogger", one: Submission, answer: Answer | BreakwaterError) -> None:
    """Log a new job, and everything that was kept from happening twice."""
    match answer:
        case Answer(created=None):
            reason = "same_key" if answer.is_replayed else answer.body["dedup"]["reason"]
            _log_duplicate(log, one, answer.body["job"]["id"], layer="submission", reason=reason, count=1)
        case Answer():
            job_id = answer.body["job"]["id"]
            log.info("job_submitted", job_id=job_id, request_id=one.sender.request_id, **one.normalized.planned.told())
            if dropped := _dropped(one):
                _log_duplicate(log, one, job_id, layer="spec", reason="dropped_duplicate", count=dropped)
        case DuplicateJob():
            job: Any = answer.members["job"]
            _log_duplicate(log, one, job["id"], layer="submission", reason=answer.code, count=1)


def _log_duplicate(
    log: "structlog.stdlib.BoundLogger", one: Submission, job_id: str, *, layer: str, reason: str, count: int
) -> None:
    log.info(
        "duplicate_prevented",
        layer=layer,
        reason=reason,
        count=count,
        job_id=job_id,
        request_id=one.sender.request_id,
    )


def _dropped(one: Submission) -> int:
    """Return how many duplicates of models, regions and questions the spec named."""
    return sum(note.action is Action.DROPPED_DUPLICATE for note in one.normalized.notes)
