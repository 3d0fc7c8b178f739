"""Rows of a batch report for a cell whose try ended, or that ends without a try. No I/O.

Cells are named by their index in the batch's lists. Times are microseconds since the epoch by the database's clock.
"""

from typing import NamedTuple

import orjson

from db.batches import ClaimedBatch
from db.circuit_breakers import Refusal
from db.responses import ResponseRow
from db.results import CompletedCell, EndedCell, RetriedCell
from domain.calls import Cell
from domain.outcome import (
    CALL_INTERRUPTED,
    MAX_FORGIVEN,
    NO_REPLY,
    OWN_REFUSALS,
    Completed,
    End,
    Failed,
    Outcome,
    Reply,
    backoff_seconds,
    storable,
)


class Try(NamedTuple):
    """The start of a cell's call, and its provider."""

    started_us: int
    finished_us: int
    provider_used: str


def cell_of(batch: ClaimedBatch, index: int) -> Cell:
    """Return the place of a cell."""
    return Cell(batch.job_no, batch.region_no, batch.model_nos[index], batch.question_nos[index])


def completed(batch: ClaimedBatch, index: int, tried: Try, outcome: Completed) -> CompletedCell:
    """Return the row of a cell that was answered."""
    reply, asked = outcome.reply, (*cell_of(batch, index), *_asked(tried, outcome))
    output, identity_no = storable(outcome.output), batch.identity_no
    if reply is NO_REPLY:
        return CompletedCell(*asked, outcome.region_served, output, identity_no=identity_no)
    return CompletedCell(
        *asked,
        outcome.region_served,
        output,
        usage=_usage(reply),
        finish_reason=reply.finish_reason,
        is_complete=reply.is_complete,
        model_used=reply.model_used,
        identity_no=identity_no,
    )


def ended(batch: ClaimedBatch, index: int, tried: Try, failed: Failed, *, status: str) -> EndedCell:
    """Return the row of a cell whose last try failed, or whose call has an unknown outcome."""
    return EndedCell(
        *cell_of(batch, index),
        *_asked(tried, failed),
        failed.region_served,
        failed.code,
        storable(failed.detail),
        failed.retryable,
        status,
        batch.attempts[index],
        usage=_usage(failed.reply),
        finish_reason=failed.reply.finish_reason,
        is_complete=failed.reply.is_complete,
        model_used=failed.reply.model_used,
        identity_no=batch.identity_no,
    )


def retried(batch: ClaimedBatch, index: int, tried: Try, failed: Failed, *, jitter: float) -> RetriedCell:
    """Return the row of a try that will be repeated: at once if it is forgiven, else after a backoff."""
    attempts, is_free = batch.attempts[index], is_forgiven(batch, index, failed)
    backoff = backoff_seconds(_counted_tries(batch, index), jitter)
    return RetriedCell(
        *cell_of(batch, index),
        *_asked(tried, failed),
        failed.region_served,
        failed.code,
        storable(failed.detail),
        attempts,
        is_free,
        failed.end is End.ANSWERED,
        0.0 if is_free else max(backoff, failed.retry_after_seconds or 0.0),
        batch.identity_no,
    )


def interrupted(batch: ClaimedBatch, index: int, *, at_us: int) -> EndedCell:
    """Return the row of a cell that an earlier holder had started."""
    return EndedCell(
        *cell_of(batch, index),
        None,  # the start log has its start
        at_us,
        batch.provider,
        None,
        CALL_INTERRUPTED,
        "The worker that had begun this call was stopped or lost; whether the provider did it is unknown.",
        error_retryable=False,
        status="unknown",
        attempts_before=batch.attempts[index],
        identity_no=batch.identity_before,
    )


def given_up(batch: ClaimedBatch, index: int, *, at_us: int, code: str, detail: str) -> EndedCell:
    """Return the row of a cell that fails without a call."""
    return EndedCell(
        *cell_of(batch, index),
        None,
        at_us,
        None,
        None,
        code,
        detail,
        error_retryable=False,
        status="failed",
        attempts_before=batch.attempts[index],
        tries=0,
    )


def responses(batch: ClaimedBatch, index: int, outcome: Outcome) -> list[ResponseRow]:
    """Return the row of the answer to a cell's try, if there is one to keep."""
    response = outcome.reply.response
    return [] if response is None else [ResponseRow(*cell_of(batch, index), batch.attempts[index] + 1, *response)]


def refusal(batch: ClaimedBatch, failed: Failed, *, is_probing: bool) -> Refusal | None:
    """Return the refusal that opens the pool's circuit breaker; None if the failure isn't about the pool."""
    if not failed.trips_breaker and (not is_probing or passes_breaker(failed)):
        return None
    return Refusal(*batch.pool, failed.code, storable(failed.detail), failed.retry_after_seconds, is_probing)


def passes_breaker(outcome: Outcome) -> bool:
    """Say whether the provider took a probing call; an ambiguous end doesn't count."""
    return isinstance(outcome, Completed) or (outcome.end is End.ANSWERED and not outcome.trips_breaker)


def has_tries_left(batch: ClaimedBatch, index: int, failed: Failed, *, max_attempts: int) -> bool:
    """Say whether the policy grants another try."""
    return is_forgiven(batch, index, failed) or _counted_tries(batch, index) < max_attempts


def is_forgiven(batch: ClaimedBatch, index: int, failed: Failed) -> bool:
    """Say whether a try doesn't count, since the provider took no calls."""
    most = OWN_REFUSALS if failed.may_be_own else MAX_FORGIVEN
    return failed.trips_breaker and batch.forgiven[index] < most


def _counted_tries(batch: ClaimedBatch, index: int) -> int:
    """Return how many tries count against the policy, including the try that just ended."""
    return batch.attempts[index] + 1 - batch.forgiven[index]


def _asked(tried: Try, outcome: Outcome) -> tuple[int, int, str]:
    return tried.started_us, tried.finished_us, outcome.provider_used or tried.provider_used


def _usage(reply: Reply) -> str | None:
    return orjson.dumps(reply.usage).decode() if reply.usage else None
