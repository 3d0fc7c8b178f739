"""The queue of submissions: two loops, one for each lane, answer them a group at a time."""

import asyncio
import time

from submissions.deadlines import LOCK_DEADLINE_SECONDS, reject_expired
from submissions.groups import Groups
from submissions.lanes import Lanes, Pending, groups_of
from submissions.responses import SubmissionResponse
from submissions.submission import Submission
from submissions.transaction import SubmissionTransaction

SHORTEST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.004, 0.064
"""The pause between two rounds of the waiting lane; doubled after each round without an answer."""


class SubmissionQueue:
    """Takes submissions and answers them; `run` must run concurrently."""

    def __init__(self, lanes: Lanes, groups: Groups, transaction: SubmissionTransaction) -> None:
        self._lanes = lanes
        self._transaction = transaction
        self._groups = groups

    async def submit(self, submission: Submission) -> SubmissionResponse:
        """Answer one submission. Raises the error of a rejection, and Overloaded when the database is unavailable.

        The job is stored even if the caller stops waiting.
        """
        pending = Pending(submission, time.monotonic() + LOCK_DEADLINE_SECONDS)
        self._lanes.add(pending)
        return await pending.response

    async def run(self) -> None:
        """Answer submissions until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._answer_new())
            lanes.create_task(self._answer_waiting())

    async def _answer_new(self) -> None:
        while True:
            await self._lanes.has_new.wait()
            group = self._lanes.next_group()
            if group:
                self._lanes.put_aside(await self._groups.answer_new(group))

    async def _answer_waiting(self) -> None:
        delay = SHORTEST_DELAY_SECONDS
        while True:
            await self._lanes.has_waiting.wait()
            await asyncio.sleep(delay)
            waiting = self._lanes.waiting()
            to_retry = await self._answer_round(waiting)
            self._lanes.end_round(len(waiting), to_retry)
            delay = SHORTEST_DELAY_SECONDS if len(to_retry) < len(waiting) else min(2 * delay, LONGEST_DELAY_SECONDS)

    async def _answer_round(self, waiting: list[Pending]) -> list[Pending]:
        """Try each waiting submission again, and reject those whose deadline has passed; return the remaining ones."""
        to_retry: list[Pending] = []
        for group in groups_of(waiting):
            to_retry += await self._groups.answer_waiting(group)
        return await reject_expired(self._transaction, to_retry)
