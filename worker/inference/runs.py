"""A running batch: the calls for its cells, and the reports of their outcomes."""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from db.batches import ClaimedBatch
from db.results import BatchReport
from domain.calls import Cell
from domain.outcome import NO_REPLY, Completed, End, Failed, Outcome, apply_incomplete_policy
from domain.spec import Delivery, JobSpec
from worker.inference import reporting
from worker.inference.permits import BatchPermits
from worker.inference.reporting import Try
from worker.providers.protocol import Call, Provider

QUANTUM_SECONDS = 0.5
"""How long a batch starts calls before it yields: handing over permits costs some 5 ms, 1 % of it."""


class Quantum:
    """A batch's time to start calls, from its first call on."""

    def __init__(self) -> None:
        self._has_begun = False
        self.renew()

    @property
    def is_over(self) -> bool:
        """Say whether the batch may start no more calls."""
        return self._has_begun and time.monotonic() >= self._until

    def begin(self) -> None:
        """Note that the first call starts."""
        self._has_begun = True

    def renew(self) -> None:
        """Restart the quantum."""
        self._until = time.monotonic() + QUANTUM_SECONDS

    def end(self) -> None:
        """End the quantum, even if it hasn't begun."""
        self._has_begun = True
        self._until = time.monotonic()


@dataclass(slots=True)
class BatchRun:
    """A running batch. `unreported` of its cells have no outcome yet.

    `provider` answers for the identity for which it was claimed; None if its cells are only to be ended. `untried` are
    the indices, into the batch's lists, of cells without a call so far. Those with the fewest tries come first: a cell
    that is refused again and again must not be every probe of an open circuit breaker. `asked` are cells with a call in
    flight, with its start in microseconds since the epoch; `shown` cells have it in the database. It `is_cleared` once
    the database shows no calls of earlier holders, and `is_probing` until its first call ends.
    """

    batch: ClaimedBatch
    spec: JobSpec
    provider: Provider | None
    permits: BatchPermits
    unreported: int = field(init=False)
    untried: deque[int] = field(init=False)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    asked: dict[int, int] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    is_cleared: bool = False
    is_probing: bool = field(init=False)
    quantum: Quantum = field(default_factory=Quantum)
    _offset: float = field(init=False)
    _due_at: float | None = None
    _jitter: float = field(default_factory=random.random)

    def __post_init__(self) -> None:
        now, batch = time.monotonic(), self.batch
        self.unreported = len(batch.model_nos)
        self.is_probing = batch.is_probe
        unstarted = (index for index, is_started in enumerate(batch.marked) if not is_started)
        self.untried = deque(sorted(unstarted, key=lambda index: batch.attempts[index]))
        self._offset = batch.claimed_at - now
        if batch.next_due_seconds is not None:
            self._due_at = now + batch.next_due_seconds

    @property
    def makes_calls(self) -> bool:
        """Say whether its permits are for calls; else they are for cells."""
        return self.batch.permits > 0

    @property
    def logs_starts(self) -> bool:
        """Say whether each start is committed before its call, so that no call is repeated."""
        return self.spec.policy.delivery is Delivery.AT_MOST_ONCE

    @property
    def is_starved(self) -> bool:
        """Say whether it could use more permits, and its job has no limit of its own."""
        has_limit = self.spec.policy.max_concurrent is not None
        return bool(self.tasks and self.untried) and not self.permits.is_closed and not has_limit

    def cell(self, index: int) -> Cell:
        """Return where a cell stands."""
        return reporting.cell_of(self.batch, index)

    def clock_us(self) -> int:
        """Return the database's time in microseconds since the epoch."""
        return round((time.monotonic() + self._offset) * 1_000_000)

    def next_untried(self) -> int | None:
        """Take the next untried cell for a call; None if there is none, or the batch's quantum is over."""
        if not self.untried or self.quantum.is_over:
            return None
        self.quantum.begin()
        return self.untried.popleft()

    async def ask(self, index: int) -> BatchReport:
        """Make the call for a cell; return the report of its outcome."""
        started_us = self.asked[index] = self.clock_us()
        outcome, report = await self._answering.answer(_call_of(self, index)), BatchReport(self.batch)
        del self.asked[index]
        self.add(report, index, outcome, Try(started_us, self.clock_us(), self._answering.name))
        return report

    async def answer_all(self, report: BatchReport) -> None:
        """Answer all untried cells without calls; they all have the same start."""
        provider, started_us = self._answering, self.clock_us()
        outcomes = []
        while self.untried:
            index = self.untried.popleft()
            outcomes.append((index, await provider.answer(_call_of(self, index))))
        tried = Try(started_us, self.clock_us(), provider.name)
        for index, outcome in outcomes:
            self.add(report, index, outcome, tried)

    def end_interrupted(self, report: BatchReport) -> None:
        """End the cells that an earlier holder had started as ambiguous."""
        for index, is_started in enumerate(self.batch.marked):
            if is_started:
                self.unreported -= 1
                report.ended.append(reporting.interrupted(self.batch, index, at_us=self.clock_us()))

    def give_up(self, report: BatchReport, code: str, detail: str) -> None:
        """End open cells as failed, without calls."""
        for index in self.untried:
            self.unreported -= 1
            cell = reporting.given_up(self.batch, index, at_us=self.clock_us(), code=code, detail=detail)
            report.ended.append(cell)
        self.untried.clear()

    def add(self, report: BatchReport, index: int, outcome: Outcome, tried: Try) -> None:
        """Add the outcome of one cell's try to a report."""
        self.unreported -= 1
        if outcome.reply is not NO_REPLY:
            report.responses += reporting.responses(self.batch, index, outcome)
            outcome = apply_incomplete_policy(outcome, self.spec.policy.incomplete)
        match outcome:
            case Completed():
                report.completed.append(reporting.completed(self.batch, index, tried, outcome))
            case Failed():
                self._add_failure(report, index, outcome, tried)
            case _:
                assert_never(outcome)
        report.resets_breaker = self.is_probing and reporting.passes_breaker(outcome)
        self.is_probing = False

    def close(self, report: BatchReport) -> None:
        """Complete a report with the batch's permits, and the time when it is due again."""
        report.freed_permits, report.is_released = self.permits.report()
        report.is_yielded = report.is_released and bool(self.untried)
        if not self.untried and self._due_at is not None:
            report.due_in_seconds = max(0.0, self._due_at - time.monotonic())

    @property
    def _answering(self) -> Provider:
        if self.provider is None:
            raise LookupError(self.batch.identity_no)
        return self.provider

    def _add_failure(self, report: BatchReport, index: int, failed: Failed, tried: Try) -> None:
        batch, policy = self.batch, self.spec.policy
        report.refusal = reporting.refusal(batch, failed, is_probing=self.is_probing) or report.refusal
        if self.logs_starts and failed.end is End.AMBIGUOUS:
            report.ended.append(reporting.ended(batch, index, tried, failed, status="unknown"))
        elif failed.retryable and reporting.has_tries_left(batch, index, failed, max_attempts=policy.max_attempts):
            self._add_retry(report, index, failed, tried)
        else:
            report.ended.append(reporting.ended(batch, index, tried, failed, status="failed"))

    def _add_retry(self, report: BatchReport, index: int, failed: Failed, tried: Try) -> None:
        # Cells answered without calls fail together and wait together, so that one claim repeats them all.
        jitter = random.random() if self.makes_calls else self._jitter  # noqa: S311 - it needs no secrecy
        cell = reporting.retried(self.batch, index, tried, failed, jitter=jitter)
        due_at = time.monotonic() + cell.wait_seconds
        self._due_at = due_at if self._due_at is None else min(self._due_at, due_at)
        report.retried.append(cell)


def _call_of(run: BatchRun, index: int) -> Call:
    batch, cell = run.batch, run.cell(index)
    return Call(
        cell=cell,
        planned_us=batch.planned_us,
        key_no=batch.key_nos[index],
        model_id=run.spec.models[cell.model_no].id,
        region=batch.region,
        question=run.spec.questions[cell.question_no].text,
        parameters=run.spec.parameters,
        timeout_seconds=run.spec.policy.timeout_seconds,
        attempt=batch.attempts[index] + 1,
    )
