"""A claimed batch under way: which of its cells were asked, and what the writer is told of it."""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

import orjson

from db.batches import ClaimedBatch
from db.gates import Refusal
from db.responses import ResponseRow
from db.results import CompletedCell, EndedCell, RetriedCell, Settlement
from domain.calls import Cell
from domain.outcome import (
    CALL_INTERRUPTED,
    MOST_FORGIVEN,
    NO_REPLY,
    OWN_REFUSALS,
    Completed,
    End,
    Failed,
    Outcome,
    Reply,
    backoff_seconds,
    held_to,
    storable,
)
from domain.spec import Delivery, JobSpec
from worker.providers.protocol import Provider

QUANTUM_SECONDS = 0.5
"""How long a batch goes on starting calls before it yields: handing slots over costs some 5 ms, 1 % of it."""


class Try(NamedTuple):
    """When a cell was asked, by the database's clock, and of whom."""

    started_us: int
    finished_us: int
    provider_used: str


@dataclass(slots=True)
class BatchRun:
    """A claimed batch under way. `untold` of its cells have no outcome yet; `slots` calls of it may be in flight.

    `provider` answers for the identity that it was claimed for; None where its cells are only to be ended.
    `untried` are the indices, into the batch's lists, of cells that nobody asked yet. Those with the fewest tries come
    first: one that is refused again and again must not be each probe of a closed gate. `asked` are those whose call is
    out, with its start in microseconds since the epoch; `shown` ones have it in the database. It `is_cleared` once
    nothing is shown there of calls of earlier holders, and `is_probing` a closed gate until its first call ends.
    """

    batch: ClaimedBatch
    spec: JobSpec
    provider: Provider | None
    slots: int = field(init=False)
    untold: int = field(init=False)
    untried: deque[int] = field(init=False)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    asked: dict[int, int] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    is_cleared: bool = False
    is_probing: bool = field(init=False)
    _offset: float = field(init=False)
    _until: float = field(init=False)
    _told_slots: int = field(init=False)
    is_let_go: bool = False
    _due_at: float | None = None
    _has_begun: bool = False
    _jitter: float = field(default_factory=random.random)

    def __post_init__(self) -> None:
        now = time.monotonic()
        batch = self.batch
        self.slots = self._told_slots = batch.slots
        self.untold = len(batch.model_nos)
        self.is_probing = batch.is_probe
        unmarked = (index for index, is_marked in enumerate(batch.marked) if not is_marked)
        self.untried = deque(sorted(unmarked, key=lambda index: batch.attempts[index]))
        self._offset = batch.claimed_at - now
        self._until = now + QUANTUM_SECONDS
        if batch.next_due_seconds is not None:
            self._due_at = now + batch.next_due_seconds

    @property
    def counts_calls(self) -> bool:
        """Say whether its cells take slots."""
        return self.batch.slots > 0

    @property
    def must_mark(self) -> bool:
        """Say whether a start is committed before each call, so that none is made twice."""
        return self.spec.policy.delivery is Delivery.AT_MOST_ONCE

    @property
    def interrupted(self) -> list[int]:
        """The cells that an earlier holder had started: nobody knows whether they were done."""
        return [index for index, is_marked in enumerate(self.batch.marked) if is_marked]

    @property
    def answering(self) -> Provider:
        """Who answers its cells."""
        if self.provider is None:
            raise LookupError(self.batch.identity_no)
        return self.provider

    def cell(self, index: int) -> Cell:
        """Return where a cell stands."""
        batch = self.batch
        return Cell(batch.job_no, batch.region_no, batch.model_nos[index], batch.question_nos[index])

    def clock_us(self) -> int:
        """Return the database's time in microseconds since the epoch."""
        return round((time.monotonic() + self._offset) * 1_000_000)

    def next_untried(self) -> int | None:
        """Take the next cell to ask; None once there is none, or the batch's quantum is over."""
        is_over = self.counts_calls and self._has_begun and time.monotonic() >= self._until
        if is_over or not self.untried:
            return None
        self._has_begun = True
        return self.untried.popleft()

    def grow(self, slots: int) -> None:
        """Take so many more slots, which start calls for a quantum from now on."""
        self.slots += slots
        self._told_slots += slots
        self._until = time.monotonic() + QUANTUM_SECONDS

    def start_no_more(self) -> None:
        """Let the calls in flight be the last of this turn: the provider takes no more."""
        self._has_begun = True
        self._until = time.monotonic()

    def tell(self, settlement: Settlement) -> None:
        """Say in a settlement how the batch stands: what still runs of it, and when it is due again."""
        settlement.freed_slots = self._told_slots - self.slots
        self._told_slots = self.slots
        settlement.is_released = self.slots == 0 and (self.counts_calls or self.untold == 0)
        self.is_let_go = self.is_let_go or settlement.is_released
        settlement.is_yielded = settlement.is_released and bool(self.untried)
        if not self.untried and self._due_at is not None:
            settlement.due_in_seconds = max(0.0, self._due_at - time.monotonic())

    def add(self, settlement: Settlement, index: int, outcome: Outcome, tried: Try) -> None:
        """Add the outcome of one cell's try to a settlement."""
        self.untold -= 1
        if outcome.reply is not NO_REPLY:
            outcome = self._keep(settlement, index, outcome)
        match outcome:
            case Completed():
                settlement.completed.append(_completed(self.cell(index), tried, outcome, self.batch.identity_no))
            case Failed():
                self._add_failure(settlement, index, outcome, tried)
            case _:
                assert_never(outcome)
        settlement.opens_gate = self.is_probing and _passes_gate(outcome)
        self.is_probing = False

    def _keep(self, settlement: Settlement, index: int, outcome: Outcome) -> Outcome:
        """Add what a cell's try was answered to a settlement; return what the policy makes of it."""
        if outcome.reply.response is not None:
            attempt_no = self.batch.attempts[index] + 1
            settlement.responses.append(ResponseRow(*self.cell(index), attempt_no, *outcome.reply.response))
        return held_to(outcome, self.spec.policy.incomplete)

    def add_interrupted(self, settlement: Settlement, index: int, provider: str) -> None:
        """End a cell that an earlier holder had started."""
        self.untold -= 1
        detail = "Whoever had begun this call was stopped or lost; whether the provider did it is unknown."
        cell = EndedCell(
            *self.cell(index),
            None,  # it began when its mark says
            self.clock_us(),
            provider,
            None,
            CALL_INTERRUPTED,
            detail,
            error_retryable=False,
            status="unknown",
            attempts_before=self.batch.attempts[index],
            identity_no=self.batch.identity_before,
        )
        settlement.ended.append(cell)

    def add_given_up(self, settlement: Settlement, index: int, code: str, detail: str) -> None:
        """End a cell as failed without asking."""
        self.untold -= 1
        cell = EndedCell(
            *self.cell(index),
            None,
            self.clock_us(),
            None,
            None,
            code,
            detail,
            error_retryable=False,
            status="failed",
            attempts_before=self.batch.attempts[index],
            tries=0,
        )
        settlement.ended.append(cell)

    def _add_failure(self, settlement: Settlement, index: int, failed: Failed, tried: Try) -> None:
        if failed.closes_gate or (self.is_probing and not _passes_gate(failed)):
            detail = storable(failed.detail)
            seconds = failed.retry_after_seconds
            settlement.refusal = Refusal(*self.batch.pool, failed.code, detail, seconds, self.is_probing)
        if self.must_mark and failed.end is End.AMBIGUOUS:
            settlement.ended.append(self._ended(index, tried, failed, status="unknown"))
        elif failed.retryable and self._has_tries_left(index, failed):
            settlement.retried.append(self._retried(index, tried, failed))
        else:
            settlement.ended.append(self._ended(index, tried, failed, status="failed"))

    def _ended(self, index: int, tried: Try, failed: Failed, *, status: str) -> EndedCell:
        return EndedCell(
            *self.cell(index),
            *_tried(tried, failed),
            failed.region_served,
            failed.code,
            storable(failed.detail),
            failed.retryable,
            status,
            self.batch.attempts[index],
            usage=_usage(failed.reply),
            finish_reason=failed.reply.finish_reason,
            is_complete=failed.reply.is_complete,
            model_used=failed.reply.model_used,
            identity_no=self.batch.identity_no,
        )

    def _has_tries_left(self, index: int, failed: Failed) -> bool:
        """Say whether the policy grants another try."""
        counted = self.batch.attempts[index] + 1 - self.batch.forgiven[index]
        return self._is_forgiven(index, failed) or counted < self.spec.policy.max_attempts

    def _is_forgiven(self, index: int, failed: Failed) -> bool:
        """Say whether a try counts against nothing: it met a provider that takes no calls."""
        most = OWN_REFUSALS if failed.may_be_own else MOST_FORGIVEN
        return failed.closes_gate and self.batch.forgiven[index] < most

    def _retried(self, index: int, tried: Try, failed: Failed) -> RetriedCell:
        attempts = self.batch.attempts[index]
        counted = attempts + 1 - self.batch.forgiven[index]
        # What was answered on the spot fails together, and waits together: one claim repeats all of it.
        jitter = _draw() if self.counts_calls else self._jitter
        is_forgiven = self._is_forgiven(index, failed)
        wait = 0.0 if is_forgiven else max(backoff_seconds(counted, jitter), failed.retry_after_seconds or 0.0)
        due_at = time.monotonic() + wait
        self._due_at = due_at if self._due_at is None else min(self._due_at, due_at)
        return RetriedCell(
            *self.cell(index),
            *_tried(tried, failed),
            failed.region_served,
            failed.code,
            storable(failed.detail),
            attempts,
            is_forgiven,
            failed.end is End.ANSWERED,
            wait,
            self.batch.identity_no,
        )


def _draw() -> float:
    return random.random()  # noqa: S311 - jitter needs no secrecy


def _passes_gate(outcome: Outcome) -> bool:
    """Say whether a probing call was let through; after an ambiguous end nobody knows."""
    return isinstance(outcome, Completed) or (outcome.end is End.ANSWERED and not outcome.closes_gate)


def _tried(tried: Try, outcome: Outcome) -> tuple[int, int, str]:
    return tried.started_us, tried.finished_us, outcome.provider_used or tried.provider_used


def _completed(cell: Cell, tried: Try, outcome: Completed, identity_no: int | None) -> CompletedCell:
    output, reply = storable(outcome.output), outcome.reply
    if reply is NO_REPLY:
        return CompletedCell(*cell, *_tried(tried, outcome), outcome.region_served, output, identity_no=identity_no)
    return CompletedCell(
        *cell,
        *_tried(tried, outcome),
        outcome.region_served,
        output,
        usage=_usage(reply),
        finish_reason=reply.finish_reason,
        is_complete=reply.is_complete,
        model_used=reply.model_used,
        identity_no=identity_no,
    )


def _usage(reply: Reply) -> str | None:
    return orjson.dumps(reply.usage).decode() if reply.usage else None
