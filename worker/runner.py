"""The seam of kinds in a worker: how each plans its jobs and runs their batches; all else loops over these.

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
"""Claims batches in the caller's transaction, as far as there is room."""
Task: TypeAlias = Callable[[], Coroutine[None, None, None]]
"""Runs until cancelled."""
LOST_LEASES_LIMIT = 10
"""So many leases of a batch, or of an import to plan, may be lost in a row; then it fails, before it stops others."""


@dataclass(frozen=True, slots=True)
class Wakes:
    """How a runner has the claimer look: at batches of every kind, or of its own kind alone."""

    all_kinds: Callable[[], None]
    own_kind: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PlannedJobs:
    """The jobs that no longer wait to be planned, and whether more of them may be planned at once."""

    job_nos: frozenset[int] = frozenset()
    has_more: bool = False


class Runner(ABC):
    """What a worker does with the jobs of one kind: it plans them, claims their batches, and runs these to their end.

    Every batch that it holds is under a lease, which the worker renews. The defaults suit a kind that plans at
    once and has few batches.
    """

    is_eager = False
    """Whether each wake of any kind has the claimer look for it: for a kind whose batches end all the time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def taking(self) -> Mapping[str, Task]:
        """The tasks, by name, that take work: they stop first when the worker stops."""
        return {}

    @property
    @abstractmethod
    def ending(self) -> Mapping[str, Task]:
        """The tasks, by name, that go on until everything in hand has ended or is released."""

    # Planning

    async def room_to_plan(self) -> None:
        """Wait until jobs may be planned; the stream is left alone until then."""
        return

    @abstractmethod
    async def plan(self, sources: Mapping[int, str]) -> PlannedJobs:
        """Plan jobs that wait, or have it done soon; `sources` names the trigger of each job that has an envelope."""

    def look(self) -> None:
        """Take note that a job may wait which `plan` doesn't plan itself, or may begin, as another has ended."""
        return

    # Claiming

    @property
    @abstractmethod
    def pools(self) -> Pools:
        """The pools that it serves, and by which identities."""

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether more may be claimed."""

    @abstractmethod
    def claims(self) -> Sequence[Claiming]:
        """Return the claims that there is room for."""

    def overdue_claims(self) -> Sequence[Claiming]:
        """Return the claims of batches that are only to be ended, since they didn't begin in time."""
        return ()

    @property
    def is_starved(self) -> bool:
        """Whether a batch in hand could use permits that others release: the claimer then looks again soon."""
        return False

    @property
    def skipped_jobs(self) -> frozenset[int]:
        """The jobs that it leaves to other workers for a while."""
        return frozenset()

    async def find_left(self, connection: Connection) -> tuple[int, int] | None:
        """Return (job_no, batch_no) of a due batch that is unclaimed, None if there is none."""
        return await batches.first_due(connection, self.pools)

    async def announce_left(self, job_no: int, batch_no: int) -> None:
        """Have other workers look for a batch that this worker has no room for."""
        await publish_envelope(self._context, job_no, batch_no)

    # Running

    @property
    @abstractmethod
    def held(self) -> Sequence[ClaimedBatch]:
        """The batches in hand."""

    @property
    def watched(self) -> Sequence[ClaimedBatch]:
        """Those of them that run for long enough to be stopped soon after their lease is lost."""
        return self.held

    @property
    def running(self) -> int:
        """How much is at work, as the heartbeat shows it."""
        return len(self.held)

    @abstractmethod
    async def take(self, claim: Claim) -> None:
        """Take the batches of a claim in hand, and let held ones use the permits that it asked for and got.

        A batch that can't be begun is left to its lease.
        """

    @abstractmethod
    def release(self, batch: ClaimedBatch) -> None:
        """Release a batch, if it is in hand, and stop its calls and reads."""

    @abstractmethod
    def lose(self, batch: ClaimedBatch) -> None:
        """Stop a batch whose lease was lost, unless all its results are on their way to be recorded."""

    @abstractmethod
    def drain(self) -> None:
        """Begin nothing more."""

    @abstractmethod
    async def emptied(self) -> None:
        """Wait until nothing is in hand."""

    async def recorded(self) -> None:
        """Wait until all submitted reports are recorded."""
        return


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """A kind as a worker runs it.

    `left_notice` is the subject of notices that other workers leave batches of this kind; None where they publish
    envelopes.
    """

    stored: StoredKind
    open_runner: Callable[[Context, Wakes], Runner]
    left_notice: str | None = None
