"""Deadlines of submissions that wait for a lock, and the error after that."""

import time
from collections.abc import Sequence

import structlog

from domain.errors import BreakwaterError, KeyInFlight, Overloaded, SubmissionInFlight
from submissions.lanes import Pending
from submissions.transaction import CONFIGURATION, SubmissionTransaction

LOCK_DEADLINE_SECONDS = 1.0
"""How long a submission with a key waits for an advisory lock that another submission holds."""
STORE_DEADLINE_SECONDS = 5.0
"""The wait of a submission without a key, or for a row that a writer outside the protocol has locked."""
HELD_BY = {"id": "the same id", "spec": "the same content"}


async def reject_expired(transaction: SubmissionTransaction, to_retry: Sequence[Pending]) -> list[Pending]:
    """Reject the submissions whose deadline has passed; return the others."""
    now = time.monotonic()
    rejected: list[tuple[Pending, BreakwaterError]] = []
    remaining = []
    for pending in to_retry:
        waits_for = pending.waits_for
        if pending.submission.key and waits_for and waits_for != CONFIGURATION and now >= pending.deadline:
            rejected.append((pending, _in_flight(waits_for)))
        elif now >= pending.deadline + STORE_DEADLINE_SECONDS:
            pending.fail(_overloaded(waits_for))
        else:
            remaining.append(pending)
    if rejected:
        await _reject(transaction, rejected)
    return remaining


async def _reject(transaction: SubmissionTransaction, rejected: Sequence[tuple[Pending, BreakwaterError]]) -> None:
    try:
        await transaction.enter_rejections([(pending.submission, error) for pending, error in rejected])
    except Exception as failure:  # noqa: BLE001 - the answers stand without their rows; the loop must go on
        structlog.stdlib.get_logger().warning(
            "ledger_rows_missing",
            request_ids=[pending.submission.sender.request_id for pending, _ in rejected],
            error=f"{type(failure).__name__}: {failure}",
        )
    for pending, error in rejected:
        pending.fail(error)


def _in_flight(waits_for: str) -> BreakwaterError:
    if waits_for == "key":
        return KeyInFlight("The first request with this Idempotency-Key hasn't ended; repeat this one in a second.")
    detail = f"Another submission with {HELD_BY[waits_for]} hasn't ended; repeat this one in a second."
    return SubmissionInFlight(detail, matched_on={"id": "id", "spec": "spec_hash"}[waits_for])


def _overloaded(waits_for: str | None) -> Overloaded:
    if waits_for == CONFIGURATION:
        reason = "Another configuration is being applied"
    elif other := HELD_BY.get(waits_for or ""):
        reason = f"Another submission with {other} hasn't ended"
    else:
        reason = "What this needs is held elsewhere"
    return Overloaded(f"{reason}; repeat this request.", retry_after_seconds=1)
