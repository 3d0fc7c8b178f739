"""Submitting from any process: the API, a worker or a command.

`Submissions.run` must run while `submit` is called.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from configuration.in_force import InForceReader
from db.engine import Engine
from domain.errors import SpecRejected
from domain.key_limits import Limited
from domain.kinds import SpecKind
from domain.normalize import KINDS
from runtime.settings import Auth, Settings
from submissions.backlog import Backlog
from submissions.groups import Groups
from submissions.lanes import Lanes
from submissions.queue import SubmissionQueue
from submissions.rejections import RejectionLedger
from submissions.responses import SubmissionResponse
from submissions.submission import Sender, Submission, read_submission
from submissions.transaction import SubmissionTransaction


class Submissions:
    """Answers parsed bodies.

    `worker_no` gives the process's number in the register; its counters are kept under that. `on_created` gets the keys
    of new jobs after their commit, to announce them; the reconciler finds unannounced jobs. `kinds` are the accepted
    kinds of jobs by name.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        in_force: InForceReader,
        *,
        worker_no: Callable[[], Awaitable[int]],
        on_created: Callable[[Sequence[int]], None],
        kinds: Mapping[str, SpecKind] = KINDS,
    ) -> None:
        self._in_force = in_force
        self._kinds = kinds
        self._transaction = SubmissionTransaction(
            engine,
            worker_no=worker_no,
            keep_hours=settings.idempotency_hours,
            recent_seconds=settings.dedup_seconds,
            backlog=Backlog(settings.backlog, is_shared=settings.auth is not Auth.OFF),
        )
        self._rejections = RejectionLedger(engine, worker_no=worker_no)
        lanes = Lanes()
        groups = Groups(
            self._transaction, lanes, self._rejections, read_in_force=in_force.follow, on_created=on_created
        )
        self._queue = SubmissionQueue(lanes, groups, self._transaction)

    async def submit(
        self,
        body: Any,
        *,
        tenant: str,
        tenant_no: int,
        sender: Sender,
        key: str | None = None,
        limited_by: Sequence[Limited] = (),
    ) -> SubmissionResponse:
        """Store, join or replay the job of a body, for the tenant with this name and number.

        `key` is its Idempotency-Key; a new job counts on the quotas of `limited_by`.

        Raises SpecRejected (after its ledger row is committed), any other error of a rejection, and Overloaded if the
        database is unavailable or the backlog is full. The job is stored even if the caller stops waiting.
        """
        try:
            submission = self.read(
                body, tenant=tenant, tenant_no=tenant_no, sender=sender, key=key, limited_by=limited_by
            )
        except SpecRejected as rejection:
            await self._rejections.enter(tenant_no, sender, rejection, key)
            raise
        return await self._queue.submit(submission)

    def read(
        self,
        body: Any,
        *,
        tenant: str,
        tenant_no: int,
        sender: Sender,
        key: str | None = None,
        limited_by: Sequence[Limited] = (),
    ) -> Submission:
        """Return a body as a submission under the configuration in force. Raises SpecRejected."""
        return read_submission(
            body,
            self._in_force.current,
            tenant=tenant,
            tenant_no=tenant_no,
            key=key,
            sender=sender,
            kinds=self._kinds,
            limited_by=limited_by,
        )

    async def preview(self, submission: Submission) -> SubmissionResponse:
        """Return the response that `submit` would give, and store nothing. Raises the error of a rejection."""
        return await self._transaction.preview(submission)

    async def run(self) -> None:
        """Answer submissions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._rejections.run())
