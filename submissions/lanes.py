"""The two lanes in which submissions wait for a transaction, and the groups taken from them. No I/O.

New submissions are stored as they come. If a lock isn't free, the submission is retried in the other lane until its
deadline, so that no other waits behind it. A submission that needs a lock for which another submission waits joins that
lane at once. New submissions are taken of all tenants in turn, one of each; those that wait, a tenant at a time, so
that what one tenant has locked holds up its own alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from submissions.responses import SubmissionResponse
from submissions.submission import Submission

GROUP = 128


@dataclass(eq=False, slots=True)
class Pending:
    """A submission that waits for its response, until about `deadline` (by the monotonic clock)."""

    submission: Submission
    deadline: float
    waits_for: str | None = None
    """The lock that wasn't free at its last try; see `Waits`."""
    response: "asyncio.Future[SubmissionResponse]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def fail(self, error: Exception) -> None:
        """Raise this error to the caller, if it still waits."""
        if not self.response.done():
            self.response.set_exception(error)

    def answer(self, response: SubmissionResponse) -> None:
        """Give this response to the caller, if it still waits."""
        if not self.response.done():
            self.response.set_result(response)


class Lanes:
    """New submissions by tenant, and submissions that wait for a lock; each lane sets an event while it isn't empty."""

    def __init__(self) -> None:
        self._new_by_tenant: dict[int, deque[Pending]] = {}
        self._waiting: list[Pending] = []
        self.has_new = asyncio.Event()
        self.has_waiting = asyncio.Event()

    def add(self, pending: Pending) -> None:
        """Append a new submission to its tenant's queue."""
        self._new_by_tenant.setdefault(pending.submission.tenant_no, deque()).append(pending)
        self.has_new.set()

    def next_group(self) -> list[Pending]:
        """Take the next new submissions; move those whose lock others wait for to the waiting lane.

        Tenants take turns: each goes behind the others after one submission. The group is empty if all were taken
        meanwhile.
        """
        group: list[Pending] = []
        while self._new_by_tenant and len(group) < GROUP:
            tenant_no = next(iter(self._new_by_tenant))
            arrived = self._new_by_tenant.pop(tenant_no)
            group.append(arrived.popleft())
            if arrived:
                self._new_by_tenant[tenant_no] = arrived
        if not self._new_by_tenant:
            self.has_new.clear()
        awaited = {lock for pending in self._waiting for lock in pending.submission.locks}
        if not awaited:
            return group
        self.put_aside([pending for pending in group if not awaited.isdisjoint(pending.submission.locks)])
        return [pending for pending in group if awaited.isdisjoint(pending.submission.locks)]

    def take_new(self) -> list[Pending]:
        """Take all new submissions."""
        taken = [pending for arrived in self._new_by_tenant.values() for pending in arrived]
        self._new_by_tenant.clear()
        self.has_new.clear()
        return taken

    def put_aside(self, to_retry: Iterable[Pending]) -> None:
        """Let these submissions wait for their locks."""
        self._waiting += to_retry
        if self._waiting:
            self.has_waiting.set()

    def waiting(self) -> list[Pending]:
        """Return the waiting submissions. They stay in their lane, so that later submissions see their locks."""
        return list(self._waiting)

    def end_round(self, tried: int, to_retry: Sequence[Pending]) -> None:
        """Replace the first `tried` waiting submissions by `to_retry`; those that were added meanwhile follow."""
        self._waiting = [*to_retry, *self._waiting[tried:]]
        if not self._waiting:
            self.has_waiting.clear()


def groups_of(waiting: Sequence[Pending]) -> list[list[Pending]]:
    """Return the submissions in groups of one tenant each, in their order."""
    by_tenant: dict[int, list[Pending]] = {}
    for pending in waiting:
        by_tenant.setdefault(pending.submission.tenant_no, []).append(pending)
    return [
        of_tenant[first : first + GROUP]
        for of_tenant in by_tenant.values()
        for first in range(0, len(of_tenant), GROUP)
    ]
