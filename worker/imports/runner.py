"""The runner of imports: one worker surveys an import under a lease, and workers read its batches."""

from collections.abc import Mapping, Sequence

from db import batches, claiming
from db.batches import Claim, Claimant, ClaimedBatch, Pools
from db.built_in_kinds import IMPORT
from db.engine import Connection
from db.import_coordination import IMPORT_POOL
from db.import_results import ImportRecorded
from worker.context import Context
from worker.imports.coordinator import ImportCoordinator
from worker.imports.importer import Importer
from worker.imports.loader import Loader
from worker.left_work import publish_notice
from worker.runner import Claiming, PlannedJobs, Runner, Task, Wakes, WorkerKind

LEFT_NOTICE = "imports"
"""Left import batches are announced by a notice, which reaches every worker; an envelope might reach one without
room."""


class ImportRunner(Runner):
    """Coordinates imports and reads their batches, which the importer holds."""

    def __init__(self, context: Context, wakes: Wakes) -> None:
        super().__init__(context)
        self._wakes = wakes
        self._loader = Loader(context, self._on_loaded)
        self._importer = Importer(context, self._loader, wakes.all_kinds)
        self._coordinator = ImportCoordinator(context, wakes.all_kinds)

    @property
    def taking(self) -> Mapping[str, Task]:
        """The coordinator."""
        return {"import coordinator": self._coordinator.run}

    @property
    def ending(self) -> Mapping[str, Task]:
        """The importer and the loader."""
        return {"importer": self._importer.run, "loader": self._loader.run}

    async def plan(self, sources: Mapping[int, str]) -> PlannedJobs:
        """Wake the coordinator if an envelope may be for an import."""
        if sources:
            self._coordinator.wake()
        return PlannedJobs()

    def look(self) -> None:
        """Wake the coordinator."""
        self._coordinator.wake()

    @property
    def pools(self) -> Pools:
        """The pool of all imports."""
        return {IMPORT_POOL: self._context.serving.source_nos}

    @property
    def has_room(self) -> bool:
        """Whether more batches may be read."""
        return bool(self._importer.in_hand.room)

    def claims(self) -> Sequence[Claiming]:
        """Return the claim of batches, if there is room."""
        return [self._claim] if self._importer.in_hand.room else []

    @property
    def skipped_jobs(self) -> frozenset[int]:
        """The imports with sources that this worker's configuration doesn't know."""
        return self._importer.skipped.job_nos

    async def find_left(self, connection: Connection) -> tuple[int, int] | None:
        """Return a due batch that the limits of its job allow other workers to claim."""
        await self._free_permits(connection)
        return await batches.find_first_due(connection, self.pools)

    async def announce_left(self, _job_no: int, _batch_no: int) -> None:
        """Publish a notice to all workers."""
        await publish_notice(self._context, LEFT_NOTICE)

    @property
    def held(self) -> Sequence[ClaimedBatch]:
        """The batches in hand."""
        return self._importer.held

    async def take(self, claim: Claim) -> None:
        """Read batches."""
        await self._importer.start(claim.batches)

    def release(self, batch: ClaimedBatch) -> None:
        """Release a batch and stop reading it."""
        self._importer.release(batch)

    def lose(self, batch: ClaimedBatch) -> None:
        """Stop reading a batch whose lease was lost; the loader undoes a batch that was read."""
        self._importer.lose(batch)

    def drain(self) -> None:
        """Read nothing more."""
        self._importer.drain()

    async def emptied(self) -> None:
        """Wait until nothing is in hand."""
        await self._importer.emptied()

    async def _claim(self, connection: Connection, claimant: Claimant) -> Claim:
        await self._free_permits(connection)
        return await claiming.claim_calls(connection, self.pools, claimant, calls=self._importer.in_hand.room)

    async def _free_permits(self, connection: Connection) -> None:
        if read := self._importer.read:
            await claiming.free_permits(connection, read)

    def _on_loaded(self, recorded: ImportRecorded) -> None:
        """Release recorded and stale batches; look for more."""
        for report in (*recorded.written, *recorded.stale):
            self._importer.release(report.batch)
        self._wakes.all_kinds()
        if any(job.status != "running" for job in recorded.jobs):
            self._coordinator.wake()  # another import may wait for the end of this one


KIND = WorkerKind(IMPORT, ImportRunner, left_notice=LEFT_NOTICE)
