"""Coordinating imports: one worker at a time surveys one, under a lease that it keeps while others count.

The lock in Redis saves the others the work. The fence, checked in the transaction that writes, decides.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import orjson

from broker import locks
from broker.envelopes import BrokerError
from db import imports, tallies
from db.engine import GONE, REFUSED, Connection, in_transaction
from db.imports import Coordination, ImportPlan, KeyChanged, Served, Settled, Waiting, Written
from db.tallies import Tally, tally
from domain.identities import of_source
from domain.import_spec import ImportSpec
from runtime.metrics import COORDINATION, COORDINATION_SECONDS, DUPLICATES_PREVENTED, RETRIES
from sources.errors import SourceNotConfigured
from sources.survey import Trouble, plan, survey, trouble_of
from worker import coordination_failures
from worker.context import Context
from worker.coordination_failures import UNPLANNABLE, Failure
from worker.executor import LOST_LEASES_LIMIT
from worker.leaving import LeftToOthers

AT_ONCE = 4
"""Imports that one worker coordinates at the same time."""
PATIENCE_SECONDS = 0.5
LEAVE_SECONDS = 1.0


class _Fenced(Exception):
    """The lease is somebody else's, or the job ended; nothing may be written."""


class ImportCoordinator:
    """Takes imports that wait and turns each into waves, once. `on_planned` hears of each after its commit."""

    def __init__(self, context: Context, on_planned: Callable[[], None]) -> None:
        self._context = context
        self._on_planned = on_planned
        self._wake = asyncio.Event()
        self._mine: set[int] = set()
        self._left_to_others = LeftToOthers()

    @property
    def _served(self) -> Served:
        serving = self._context.serving
        return Served(serving.configuration.number, serving.import_identity_nos)

    def wake(self) -> None:
        """Say that an import may wait."""
        self._wake.set()

    async def run(self) -> None:
        """Coordinate until cancelled; what is under way then is given back."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                try:
                    await self._take(group)
                    timeout = await self._next_due()
                except GONE as error:
                    self._context.log.warning("coordination_delayed", error=str(error))
                    timeout = PATIENCE_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._wake.wait()

    async def _take(self, group: asyncio.TaskGroup) -> None:
        room = AT_ONCE - len(self._mine)
        but_not = self._mine | self._left_to_others.job_nos  # read first: this forgets those whose time is over
        if room <= 0:
            return
        found = await in_transaction(
            self._context.engine, lambda c: imports.find_imports(c, self._served, limit=room, but_not=but_not)
        )
        for job_no, job_id in found:
            self._mine.add(job_no)
            group.create_task(self._coordinate(job_no, job_id), name=f"coordination-{job_no}")

    async def _next_due(self) -> float | None:
        """Return how long to sleep unless somebody rings; a job that others hold is looked at again soon."""
        seconds = await in_transaction(self._context.engine, imports.next_due_seconds)
        known = [one for one in (seconds, self._left_to_others.seconds) if one is not None]
        return max(0.01, min(known)) if known else None

    async def _coordinate(self, job_no: int, job_id: str) -> None:
        """Coordinate one import if nobody else does. Whatever befalls it befalls this import alone."""
        token = secrets.token_hex(8)
        try:
            if await self._locked(job_no, job_id, token):
                await self._coordinate_alone(job_no, token)
            else:
                await asyncio.sleep(PATIENCE_SECONDS)
        except GONE as error:
            self._context.log.warning("coordination_delayed", job_id=job_id, error=str(error))
            await asyncio.sleep(PATIENCE_SECONDS)
        except Exception:  # its lease runs out, and that is counted
            self._context.log.exception("coordination_failed", job_id=job_id)
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            self._mine.discard(job_no)
            self._wake.set()

    async def _locked(self, job_no: int, job_id: str, token: str) -> bool:
        """Take the lock. A broker that is away locks nobody out: the lease in PostgreSQL is enough."""
        try:
            return await locks.acquire(self._context.redis, job_no, token, self._context.lease_seconds)
        except BrokerError as error:
            self._context.log.warning("lock_unavailable", job_id=job_id, error=str(error))
            return True

    async def _coordinate_alone(self, job_no: int, token: str) -> None:
        try:
            mine = await in_transaction(self._context.engine, lambda c: self._begin(c, job_no))
            if isinstance(mine, Waiting):
                self._context.log.info(
                    "coordination_waits",
                    job_id=mine.job_id,
                    waits_for=mine.other_id,
                    record_type=mine.record_type,
                    until="ended" if mine.until_end else "planned",
                )
            elif mine is not None:
                self._context.log.info("coordination_started", job_id=mine.id, source=mine.source, fence=mine.fence)
                await self._hold(mine, token)
        finally:
            with suppress(BrokerError):
                await locks.release(self._context.redis, job_no, token)

    async def _begin(self, connection: Connection, job_no: int) -> Coordination | Waiting | None:
        mine = await imports.begin(
            connection,
            job_no,
            self._served,
            holder=secrets.randbits(63),
            worker_no=self._context.worker_no,
            lease_seconds=self._context.lease_seconds,
        )
        if isinstance(mine, Coordination):
            await self._count(connection, [(source, "fenced") for source in mine.fenced_sources])
        return mine

    async def _hold(self, mine: Coordination, token: str) -> None:
        """Survey and write while a heartbeat of its own keeps the lease, which no COUNT can hold up."""
        began = time.monotonic()
        try:
            await self._plan_kept(mine, token)
        except asyncio.CancelledError:
            await self._give_back(mine)
            raise
        self._context.histograms[COORDINATION_SECONDS].observe(time.monotonic() - began)

    async def _plan_kept(self, mine: Coordination, token: str) -> None:
        is_fenced = False
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._keep(mine, token))
                await self._plan(mine)
                beat.cancel()
        except* _Fenced:
            is_fenced = True
        if is_fenced:  # out of the group, which would wrap what a store that is away raises
            await self._tell_fenced(mine)

    async def _keep(self, mine: Coordination, token: str) -> None:
        """Renew the lease and the lock at every beat; raise _Fenced once the lease is lost."""
        lease_seconds = self._context.lease_seconds
        while True:
            await asyncio.sleep(self._context.heartbeat_seconds)
            try:
                if not await in_transaction(self._context.engine, lambda c: imports.renew(c, mine, lease_seconds)):
                    raise _Fenced
                await locks.renew(self._context.redis, mine.job_no, token, lease_seconds)
            except (*GONE, BrokerError) as error:
                self._context.log.warning("coordination_beat_delayed", job_id=mine.id, error=str(error))

    async def _plan(self, mine: Coordination) -> None:
        found = await self._survey(mine)
        while True:
            try:
                if isinstance(found, Failure):
                    await self._fail(mine, found)
                else:
                    await self._write(mine, *found)
            except GONE as error:
                self._context.log.warning("coordination_delayed", job_id=mine.id, error=str(error))
                await asyncio.sleep(PATIENCE_SECONDS)
            except KeyChanged as changed:
                found = coordination_failures.key_changed(changed)
            except REFUSED:
                if isinstance(found, Failure):
                    raise
                self._context.log.exception("plan_refused", job_id=mine.id)
                found = Failure(UNPLANNABLE, "The database refuses the plan of the stored spec.")
            else:
                return

    async def _survey(self, mine: Coordination) -> tuple[ImportSpec, ImportPlan] | Failure:
        if mine.lost_leases >= LOST_LEASES_LIMIT:
            return coordination_failures.lost(mine)
        try:
            spec = ImportSpec.from_json(mine.spec)
        except (LookupError, ValueError, TypeError, AttributeError) as error:  # another version stored it
            return Failure(UNPLANNABLE, f"This version can't plan the stored spec: {type(error).__name__}.")
        numbers = self._context.serving.configuration.identity_nos
        accepted = {key: number for key, number in numbers.items() if number in mine.identity_nos}
        found = await survey(spec, lambda source: self._context.open_source(source, accepted.get(of_source(source))))
        for record_type, one in found.items():
            if isinstance(one, Trouble) and one.cause is not None:
                self._context.log.error("source_failed", job_id=mine.id, record_type=record_type, exc_info=one.cause)
        trouble = trouble_of(spec, found)
        if trouble is not None:
            return coordination_failures.unread(mine, trouble, policy=spec.policy)
        return spec, plan(spec, found, accepted)

    async def _write(self, mine: Coordination, spec: ImportSpec, plan: ImportPlan) -> None:
        facts = {
            "record_types": len(plan.record_types),
            "rows": sum(one.rows_expected for one in plan.record_types),
            "waves": len(plan.levels),
            "batches": len(plan.batches),
        }

        async def unit(connection: Connection) -> Written:
            worker_no = self._context.worker_no
            event = orjson.dumps({**facts, "fence": mine.fence}).decode()
            written = await imports.write_plan(
                connection, mine, plan, source=mine.source, event=event, worker_no=worker_no
            )
            if written is None:
                raise _Fenced
            await self._count(connection, written.settled)
            return written

        written = await in_transaction(self._context.engine, unit)
        self._context.log.info(
            "job_coordinated",
            job_id=mine.id,
            source=mine.source,
            outcome="won",
            fence=mine.fence,
            max_concurrent=spec.policy.max_concurrent,
            **facts,
        )
        for record_type, respelled in written.respelled.items():
            if respelled.renamed or respelled.merged:
                told = {"renamed": respelled.renamed, "merged": respelled.merged}
                self._context.log.info("record_keys_respelled", job_id=mine.id, record_type=record_type, **told)
        if written.verdict is not None:
            self._context.log.info("job_finished", job_id=mine.id, status=written.verdict)
        self._on_planned()

    async def _fail(self, mine: Coordination, failure: Failure) -> None:
        async def unit(connection: Connection) -> Settled:
            told = {"code": failure.code, "detail": failure.detail}
            if failure.is_retryable:
                settled = await imports.put_off(
                    connection,
                    mine,
                    tries=int(not failure.is_forgiven),
                    due_in_seconds=coordination_failures.wait_seconds(mine, failure),
                    source=mine.source,
                    event=told,
                    outcome="failed",
                    is_away=failure.is_away,
                )
                retried = [tally(RETRIES.name, 1, reason=failure.code)]
                await tallies.add(connection, self._context.worker_no, retried)
            else:
                settled = await imports.fail(
                    connection, mine, **told, source=mine.source, worker_no=self._context.worker_no
                )
            return await self._settle(connection, settled)

        await in_transaction(self._context.engine, unit)
        if failure.code == SourceNotConfigured.code:
            self._left_to_others.leave(mine.job_no)
        self._context.log.warning(
            "coordination_put_off" if failure.is_retryable else "job_not_coordinated",
            job_id=mine.id,
            source=mine.source,
            code=failure.code,
            detail=failure.detail,
        )

    async def _settle(self, connection: Connection, settled: Settled | None) -> Settled:
        """Count what became of the triggers; raise _Fenced where the write was refused."""
        if settled is None:
            raise _Fenced
        await self._count(connection, settled)
        return settled

    async def _count(self, connection: Connection, settled: Settled) -> None:
        counted: list[Tally] = []
        for source, outcome in settled:
            counted.append(tally(COORDINATION.name, 1, source=source, outcome=outcome))
            if outcome == "joined":
                counted.append(tally(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason=f"{source}_joined"))
        await tallies.add(connection, self._context.worker_no, counted)

    async def _tell_fenced(self, mine: Coordination) -> None:
        """Count a coordinator that came back too late: what it found out was thrown away. A cancel is no such thing."""

        async def unit(connection: Connection) -> bool:
            is_late = await imports.was_taken_over(connection, mine)
            if is_late:
                prevented = tally(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason="stale_fence")
                await tallies.add(connection, self._context.worker_no, [prevented])
            return is_late

        told = {"job_id": mine.id, "fence": mine.fence}
        if await in_transaction(self._context.engine, unit):
            self._context.log.warning("duplicate_prevented", layer="coordination", reason="stale_fence", **told)
        else:
            self._context.log.info("coordination_stopped", **told)

    async def _give_back(self, mine: Coordination) -> None:
        """Let another worker begin at once; this one stops."""

        async def unit(connection: Connection) -> None:
            settled = await imports.put_off(
                connection, mine, tries=0, due_in_seconds=0, source=mine.source, event={}, outcome="fenced"
            )
            await self._count(connection, settled or [])

        with suppress(*GONE, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await in_transaction(self._context.engine, unit)
