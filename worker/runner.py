"""The interface of kinds in a worker: planning jobs and running their batches; all other code loops over the kinds.

A kind stands in a module of its own (`inference/runner.py`, `imports/runner.py`); `__main__.py` chooses which are run.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from db import batches
from db.batches import Claim, Claimant, ClaimedBatch, Pools
from db.engine import Connection
from db.kinds import StoredKind
from worker.context import Context
from worker.left_work import publish_envelope

Claiming: TypeAlias = Callable[[Connection, Claimant], Awaitable[Claim]]
"""Claims batches in the caller's transaction, while there is room."""
Task: TypeAlias = Callable[[], Coroutine[None, None, None]]
"""Runs until cancelled."""
LOST_LEASES_LIMIT = 10
"""So many leases of a batch, or of an import to plan, may be lost in a row; then it fails, before it stops others."""


@dataclass(frozen=True, slots=True)
class Wakes:
    """A runner's ways to wake the claimer: for batches of every kind, or of its own kind only."""

    all_kinds: Callable[[], None]
    own_kind: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PlannedJobs:
    """The jobs that don't wait to be planned any more, and whether more jobs may be planned at once."""

    job_nos: frozenset[int] = frozenset()
    has_more: bool = False


class Runner(ABC):
    """The runner of a kind: it plans jobs, and claims and runs their batches.

    The worker renews the leases of all batches that it holds. The defaults suit a kind that plans at once and has few
    batches.
    """

    is_eager = False
    """Whether the claimer looks for this kind at each wake of any kind: for a kind with very frequent ends of
    batches."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def taking(self) -> Mapping[str, Task]:
        """The tasks, by name, that take work: they stop first when the worker stops."""
        return {}

    @property
    @abstractmethod
    def ending(self) -> Mapping[str, Task]:
        """The tasks, by name, that go on until all work in hand has ended or is released."""

    # Planning

    async def room_to_plan(self) -> None:
        """Wait until jobs may be planned; the stream is left alone until then."""
        return

    @abstractmethod
    async def plan(self, sources: Mapping[int, str]) -> PlannedJobs:
        """Plan waiting jobs now or soon; `sources` holds the trigger of each job with an envelope."""

    def look(self) -> None:
        """Note that a job may wait that `plan` doesn't plan itself, or that may begin, or that more is served."""
        return

    # Claiming

    @property
    @abstractmethod
    def pools(self) -> Pools:
        """The pools that it serves, with their identities."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether more may be claimed."""

    @abstractmethod
    def claims(self) -> Sequence[Claiming]:
        """Return the claims that there is room for."""

    def overdue_claims(self) -> Sequence[Claiming]:
        """Return the claims of batches that are only to be ended since they didn't begin in time."""
        return ()

    @property
    def is_starved(self) -> bool:
        """Whether a batch in hand could use more permits: the claimer then looks again soon."""
        return False

    @property
    def skipped_jobs(self) -> frozenset[int]:
        """The jobs that it skips for a while."""
        return frozenset()

    async def find_left(self, connection: Connection) -> tuple[int, int] | None:
        """Return (job_no, batch_no) of a due and unclaimed batch; None if there is none."""
        return await batches.find_first_due(connection, self.pools)

    async def announce_left(self, job_no: int, batch_no: int) -> None:
        """Announce to other workers a batch for which this worker has no room."""
        await publish_envelope(self._context, job_no, batch_no)

    # Running

    @property
    @abstractmethod
    def held(self) -> Sequence[ClaimedBatch]:
        """The batches in hand."""

    @property
    def watched(self) -> Sequence[ClaimedBatch]:
        """The batches in hand that may run for long and must be stopped soon after a lost lease."""
        return self.held

    @property
    def running(self) -> int:
        """The number of units in progress, for the heartbeat."""
        return len(self.held)

    @abstractmethod
    async def take(self, claim: Claim) -> None:
        """Take the batches of a claim in hand, and give held batches the additional permits of the claim.

        A batch that can't be run is left to its lease.
        """

    @abstractmethod
    def release(self, batch: ClaimedBatch) -> None:
        """Release a batch, if it is in hand, and stop its calls and reads."""

    @abstractmethod
    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, unless all its results are queued for recording."""

    @abstractmethod
    def drain(self) -> None:
        """Start no more work."""

    @abstractmethod
    async def emptied(self) -> None:
        """Wait until nothing is in hand."""

    async def recorded(self) -> None:
        """Wait until all submitted reports are recorded."""
        return


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """A kind as a worker runs it.

    `left_notice` is the subject of notices that a worker leaves batches of this kind; None if it publishes envelopes
    instead.
    """

    stored: StoredKind
    open_runner: Callable[[Context, Wakes], Runner]
    left_notice: str | None = None
