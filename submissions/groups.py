"""Groups of submissions: a group is stored in one transaction, or, if that fails, one submission at a time.

A failure affects only its own submission. Submissions that must be retried are returned to the queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from configuration.in_force import InForce
from db.configurations import ConfigurationChanged
from db.engine import REJECTED, UNAVAILABLE
from db.submissions import LOCK_TIMED_OUT, UNIQUE_VIOLATION, timed_out_on_a_row
from domain.errors import BreakwaterError, Overloaded, SpecRejected
from submissions.lanes import Lanes, Pending
from submissions.ledger import log_response
from submissions.rejections import RejectionLedger
from submissions.transaction import Stored, SubmissionTransaction, Waits

SILENT_SECONDS = 0.5
GROUP_LOCK_TIMEOUT = "50ms"
SINGLE_LOCK_TIMEOUT = "10ms"
"""How long a transaction waits for a row that a writer outside the protocol has locked; its lane waits meanwhile."""
SINGLES_AT_ONCE = 4


class Groups:
    """Answers groups, of several tenants or of one.

    `on_created` gets the keys of new jobs after their commit; `read_in_force` reads the configuration again if a
    submission was normalized under an older one.
    """

    def __init__(
        self,
        transaction: SubmissionTransaction,
        lanes: Lanes,
        rejections: RejectionLedger,
        *,
        read_in_force: Callable[[], Awaitable[InForce]],
        on_created: Callable[[Sequence[int]], None],
    ) -> None:
        self._transaction = transaction
        self._lanes = lanes
        self._rejections = rejections
        self._read_in_force = read_in_force
        self._on_created = on_created
        self._log = structlog.stdlib.get_logger()

    async def answer_new(self, group: Sequence[Pending]) -> list[Pending]:
        """Answer a group of new submissions; return all of them to wait if a row is locked."""
        try:
            return await self._answer(group)
        except LOCK_TIMED_OUT:
            return list(group)

    async def answer_waiting(self, group: Sequence[Pending]) -> list[Pending]:
        """Answer a group of waiting submissions; if a row is locked, one at a time, to find the one that needs it."""
        try:
            return await self._answer(group)
        except LOCK_TIMED_OUT as error:
            return await self._answer_each(group) if timed_out_on_a_row(error) else list(group)

    async def _answer(self, group: Sequence[Pending]) -> list[Pending]:
        """Answer a group; return the submissions to retry. A failure affects only its own. Raises LOCK_TIMED_OUT."""
        try:
            return await self._store(group, GROUP_LOCK_TIMEOUT)
        except LOCK_TIMED_OUT:
            raise
        except Exception as error:  # noqa: BLE001 - raised to the sender; the loop must go on
            if len(group) == 1:
                _fail(group, error)
                return []
            self._log.exception("submission_group_failed", submissions=len(group))
            return await self._answer_each(group)

    async def _answer_each(self, group: Sequence[Pending]) -> list[Pending]:
        permits = asyncio.Semaphore(SINGLES_AT_ONCE)
        retries = await asyncio.gather(*(self._answer_single(pending, permits) for pending in group))
        return [pending for to_retry in retries for pending in to_retry]

    async def _answer_single(self, pending: Pending, permits: asyncio.Semaphore) -> list[Pending]:
        try:
            async with permits:
                return await self._store([pending], SINGLE_LOCK_TIMEOUT)
        except LOCK_TIMED_OUT:
            return [pending]
        except Exception as error:  # noqa: BLE001 - as above
            pending.fail(error)
            return []

    async def _store(self, group: Sequence[Pending], lock_timeout: str) -> list[Pending]:
        """Store a group in one transaction. Raises LOCK_TIMED_OUT, and other errors of the database."""
        began = time.monotonic()
        waits: Waits = {}
        try:
            stored = await self._transaction.store(
                [pending.submission for pending in group], lock_timeout=lock_timeout, waits=waits
            )
        except LOCK_TIMED_OUT:
            raise
        except UNAVAILABLE as error:
            self._log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
            is_silent = time.monotonic() - began > SILENT_SECONDS  # later submissions would wait as long again
            _fail([*group, *self._lanes.take_new()] if is_silent else group, _unavailable())
            return []
        except UNIQUE_VIOLATION:
            return list(group)
        except ConfigurationChanged:
            return await self._normalize_again(group)
        finally:
            for pending in group:
                pending.waits_for = waits.get(pending.submission, pending.waits_for)
        return self._answer_stored(group, stored)

    def _answer_stored(self, group: Sequence[Pending], stored: Stored) -> list[Pending]:
        """Announce and answer the stored submissions; return the others."""
        pending_by_submission = {pending.submission: pending for pending in group}
        responses = [response for _, response in stored.answered if not isinstance(response, BreakwaterError)]
        self._on_created([each.created_job_no for each in responses if each.created_job_no])
        for submission, response in stored.answered:
            pending = pending_by_submission[submission]
            if isinstance(response, BreakwaterError):
                pending.fail(response)
            else:
                pending.answer(response)
            log_response(self._log, submission, response)
        return [pending_by_submission[submission] for submission in stored.to_retry]

    async def _normalize_again(self, group: Sequence[Pending]) -> list[Pending]:
        """Normalize the bodies under the new configuration in force; return the submissions that are still valid."""
        accepted = []
        try:
            in_force = await self._read_in_force()
            for pending in group:
                submission = pending.submission
                try:
                    pending.submission = submission.under(in_force)
                    accepted.append(pending)
                except SpecRejected as rejection:
                    await self._rejections.enter(submission.tenant_no, submission.sender, rejection, submission.key)
                    pending.fail(rejection)
        except (*UNAVAILABLE, *REJECTED) as error:
            self._log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
            _fail(group, _unavailable())
            return []
        except Overloaded as rejection:
            _fail(group, rejection)
            return []
        return accepted


def _unavailable() -> Overloaded:
    return Overloaded("The database can't be reached; repeat this request.", retry_after_seconds=1)


def _fail(group: Sequence[Pending], error: Exception) -> None:
    for pending in group:
        pending.fail(error)
