"""Submitting: submissions wait here for their turn, are stored many at a time, and are answered.

There are two lanes, so that nobody waits behind what waits for a lock: new submissions are stored as they come, and
those whose lock is held elsewhere try again beside them until their patience ends. A submission that needs a lock for
which another one waits already goes to that lane at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from api.answers import Answer
from api.pausing import InForce
from api.refusals import Refusals
from api.storing import Store, Stored
from api.submission_ledger import log_answer
from api.verdicts import CONFIGURATION, Submission
from db.configurations import ConfigurationChanged
from db.engine import GONE, REFUSED
from db.submissions import BLOCKED, RACED, waited_for_a_row
from domain.errors import BreakwaterError, KeyInFlight, Overloaded, SpecRejected, SubmissionInFlight

GROUP = 128
PATIENCE_SECONDS = 1.0
"""How long a submission with a key waits for an advisory lock that another one holds."""
STORE_PATIENCE_SECONDS = 5.0
"""How much longer one waits that has no key, or that somebody outside the protocol holds up."""
SILENT_SECONDS = 0.5
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.004, 0.064
"""Between two rounds of those that wait; twice as long after each that answered none."""
GROUP_LOCK_TIMEOUT = "50ms"
ALONE_LOCK_TIMEOUT = "10ms"
"""How long a transaction waits for a row that somebody outside the protocol holds: so long its lane is held up."""
ALONE_AT_ONCE = 4
HELD_BY = {"id": "the same id", "spec": "the same content"}


class Submitter:
    """Takes submissions and answers them, a group at a time; `on_created` hears of new jobs after their commit."""

    def __init__(self, store: Store, *, on_created: Callable[[Sequence[int]], None]) -> None:
        self._store = store
        self._on_created = on_created
        self._new: list[Submission] = []
        self._waiting: list[Submission] = []
        self._arrived = asyncio.Event()
        self._some_wait = asyncio.Event()
        self._log = structlog.stdlib.get_logger()

    def follow(self, read_in_force: Callable[[], Awaitable[InForce]], refusals: Refusals) -> None:
        """Ask this for the configuration in force where a submission was understood under another one."""
        self._read_in_force = read_in_force
        self._refusals = refusals

    async def submit(self, submission: Submission) -> Answer:
        """Answer one submission. Raises what it is refused with, and Overloaded when the database is away.

        The job is stored even if the caller stops waiting.
        """
        submission.deadline = time.monotonic() + PATIENCE_SECONDS
        self._new.append(submission)
        self._arrived.set()
        return await submission.answered

    async def preview(self, submission: Submission) -> Answer:
        """Say what a POST would do, by the same steps, and store nothing. Raises what it would be refused with."""
        return await self._store.preview(submission)

    async def run(self) -> None:
        """Answer submissions until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._answer_new())
            lanes.create_task(self._answer_waiting())

    async def _answer_new(self) -> None:
        while True:
            await self._arrived.wait()
            group = self._next_group()
            if not self._new:
                self._arrived.clear()
            self._put_aside(await self._answer_first(group) if group else [])

    def _next_group(self) -> list[Submission]:
        """Take the next new ones, but for those that need what others wait for already: these join them."""
        taken, self._new = self._new[:GROUP], self._new[GROUP:]
        awaited = {lock for one in self._waiting for lock in one.locks}
        behind = [one for one in taken if not awaited.isdisjoint(one.locks)]
        self._put_aside(behind)
        return [one for one in taken if one not in behind] if behind else taken

    def _put_aside(self, left: Iterable[Submission]) -> None:
        self._waiting += left
        if self._waiting:
            self._some_wait.set()

    async def _answer_waiting(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            await self._some_wait.wait()
            await asyncio.sleep(pause)
            waited = len(self._waiting)
            await self._go_round()
            pause = SHORTEST_PAUSE_SECONDS if len(self._waiting) < waited else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if not self._waiting:
                self._some_wait.clear()

    async def _go_round(self) -> None:
        """Let each that waits try once more, and refuse those whose patience has ended."""
        round_ = list(self._waiting)
        left: list[Submission] = []
        for first in range(0, len(round_), GROUP):
            left += await self._answer_again(round_[first : first + GROUP])
        left = await self._refuse_impatient(left)
        # What was put aside meanwhile follows; nothing leaves the list while its try is under way.
        self._waiting = [*left, *self._waiting[len(round_) :]]

    async def _answer_first(self, group: Sequence[Submission]) -> list[Submission]:
        """Answer a group of new ones; where it is held up, all of it goes to the lane of those that wait."""
        try:
            return await self._answer(group)
        except BLOCKED:
            return list(group)

    async def _answer_again(self, group: Sequence[Submission]) -> list[Submission]:
        """Answer a group of those that wait; where a row holds it up, each alone, to find whose it is."""
        try:
            return await self._answer(group)
        except BLOCKED as error:
            return await self._answer_each(group) if waited_for_a_row(error) else list(group)

    async def _answer(self, group: Sequence[Submission]) -> list[Submission]:
        """Answer a group; return those that must try again. One that fails does so alone. Raises BLOCKED."""
        try:
            return await self._answer_together(group, GROUP_LOCK_TIMEOUT)
        except BLOCKED:
            raise
        except Exception as error:  # noqa: BLE001 - answered to whoever sent it; the loop must go on
            if len(group) == 1:
                _fail(group, error)
                return []
            self._log.exception("submission_group_failed", submissions=len(group))
            return await self._answer_each(group)

    async def _answer_each(self, group: Sequence[Submission]) -> list[Submission]:
        room = asyncio.Semaphore(ALONE_AT_ONCE)
        lefts = await asyncio.gather(*(self._answer_alone(one, room) for one in group))
        return [one for left in lefts for one in left]

    async def _answer_alone(self, one: Submission, room: asyncio.Semaphore) -> list[Submission]:
        try:
            async with room:
                return await self._answer_together([one], ALONE_LOCK_TIMEOUT)
        except BLOCKED:
            return [one]
        except Exception as error:  # noqa: BLE001 - as above
            _fail([one], error)
            return []

    async def _answer_together(self, group: Sequence[Submission], lock_timeout: str) -> list[Submission]:
        """Store a group in one transaction. Raises BLOCKED and what the database refuses; then none is answered."""
        began = time.monotonic()
        try:
            stored = await self._store.store(group, lock_timeout=lock_timeout)
        except BLOCKED:
            raise
        except GONE as error:
            self._log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
            if time.monotonic() - began > SILENT_SECONDS:  # those that came meanwhile would wait as long again
                group = [*group, *self._new]
                self._new = []
            _fail(group, Overloaded("The database can't be reached; repeat this request.", retry_after_seconds=1))
            return []
        except RACED:
            return list(group)
        except ConfigurationChanged:
            return await self._understand_anew(group)
        self._tell(stored)
        return stored.left

    async def _understand_anew(self, group: Sequence[Submission]) -> list[Submission]:
        """Read these bodies under the configuration that came into force; return those that are still well-formed."""
        left = []
        try:
            now = await self._read_in_force()
            for one in group:
                try:
                    one.understand(now)
                    left.append(one)
                except SpecRejected as refusal:
                    await self._refusals.enter(one.tenant_no, one.sender, refusal, one.key)
                    _fail([one], refusal)
        except (*GONE, *REFUSED) as error:
            self._log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
            _fail(group, Overloaded("The database can't be reached; repeat this request.", retry_after_seconds=1))
            return []
        except Overloaded as refusal:
            _fail(group, refusal)
            return []
        return left

    def _tell(self, stored: Stored) -> None:
        self._on_created(
            [answer.created for _, answer in stored.answers if isinstance(answer, Answer) and answer.created]
        )
        for one, answer in stored.answers:
            _settle(one, answer)
            log_answer(self._log, one, answer)

    async def _refuse_impatient(self, left: Sequence[Submission]) -> list[Submission]:
        now = time.monotonic()
        refused: list[tuple[Submission, BreakwaterError]] = []
        patient = []
        for one in left:
            waits_for = one.waits_for
            if one.key and waits_for and waits_for != CONFIGURATION and now >= one.deadline:
                refused.append((one, _in_flight(waits_for)))
            elif now >= one.deadline + STORE_PATIENCE_SECONDS:
                _fail([one], _held_up(one))
            else:
                patient.append(one)
        if refused:
            await self._refuse(refused)
        return patient

    async def _refuse(self, refused: Sequence[tuple[Submission, BreakwaterError]]) -> None:
        try:
            await self._store.enter_refusals(refused)
        except Exception as failure:  # noqa: BLE001 - the answers stand without their rows; the loop must go on
            self._log.warning(
                "ledger_rows_missing",
                request_ids=[one.sender.request_id for one, _ in refused],
                error=f"{type(failure).__name__}: {failure}",
            )
        for one, error in refused:
            _fail([one], error)


def _in_flight(waits_for: str) -> BreakwaterError:
    if waits_for == "key":
        return KeyInFlight("The first request with this Idempotency-Key hasn't ended; repeat this one in a second.")
    detail = f"Another submission with {HELD_BY[waits_for]} hasn't ended; repeat this one in a second."
    return SubmissionInFlight(detail, matched_on={"id": "id", "spec": "spec_hash"}[waits_for])


def _held_up(one: Submission) -> Overloaded:
    if one.waits_for == CONFIGURATION:
        what = "Another configuration is being applied"
    elif other := HELD_BY.get(one.waits_for or ""):
        what = f"Another submission with {other} hasn't ended"
    else:
        what = "What this needs is held elsewhere"
    return Overloaded(f"{what}; repeat this request.", retry_after_seconds=1)


def _settle(one: Submission, answer: Answer | BreakwaterError) -> None:
    if one.answered.done():
        return
    if isinstance(answer, BreakwaterError):
        one.answered.set_exception(answer)
    else:
        one.answered.set_result(answer)


def _fail(group: Sequence[Submission], error: Exception) -> None:
    for one in group:
        if not one.answered.done():
            one.answered.set_exception(error)
