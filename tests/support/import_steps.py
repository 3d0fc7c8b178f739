"""Imports written straight through `db/`: submitted, coordinated, claimed and recorded, one transaction a step."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import orjson

from db import claiming, configurations, import_coordination, import_plans, import_results, submissions
from db.batches import Claimant, ClaimedBatch
from db.engine import Connection, Engine, create_engine, in_transaction
from db.import_coordination import IMPORT_POOL, Coordination, Served, TriggerOutcomes, Waiting
from db.import_plans import FoundRecordType, ImportPlan, PlannedRange
from db.import_reports import ImportRange, ImportReport, ReadRow, read_ranges
from db.import_results import ImportRecorded
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from tests.support.configurations import CONFIGURATION_NO

WORKER_NO = 7
WINDOW = 4
SOURCE_NO = 1
"""An identity of the configuration that databases start with: which one, no statement asks."""
SERVED = Served(CONFIGURATION_NO, [SOURCE_NO])


@dataclass
class ImportSteps:
    """Moves imports on, and submits them for a tenant. Rows are numbered keys; a batch of n rows reads n of them."""

    engine: Engine
    tenant_no: int = DEFAULT_TENANT_NO

    async def submit(self, spec: object = None) -> int:
        """Store a queued import; return its key."""
        job = NewJob(
            tenant_no=self.tenant_no,
            id=f"import-{secrets.token_hex(6)}",
            kind="import",
            name="ledger",
            spec_hash=secrets.token_hex(8),
            submitted="{}",
            spec=orjson.dumps(spec or {}).decode(),
            normalization="[]",
            configuration_no=CONFIGURATION_NO,
            identity_nos=[SOURCE_NO],
        )

        async def store(connection: Connection) -> int:
            number = await configurations.current_no(connection)
            new = replace(job, configuration_no=number)
            return (await submissions.insert_jobs(connection, [new]))[self.tenant_no, job.id]

        return await in_transaction(self.engine, store)

    async def begin(self, job_no: int, *, lease_seconds: float = 60) -> Coordination | None:
        """Take the right to coordinate."""
        begun = await self.begin_or_wait(job_no, lease_seconds=lease_seconds)
        assert not isinstance(begun, Waiting), begun
        return begun

    async def begin_or_wait(self, job_no: int, *, lease_seconds: float = 60) -> Coordination | Waiting | None:
        """Take the right to coordinate, or wait for another import."""
        return await in_transaction(self.engine, lambda c: self.begin_within(c, job_no, lease_seconds=lease_seconds))

    async def begin_within(
        self, connection: Connection, job_no: int, *, lease_seconds: float = 60
    ) -> Coordination | Waiting | None:
        """Do the same in the caller's transaction."""
        number = await configurations.current_no(connection)
        assert number is not None
        everything = await connection.fetchval("SELECT array_agg(identity_no) FROM identities")
        return await import_coordination.begin(
            connection,
            job_no,
            Served(number, everything),
            holder=secrets.randbits(62),
            worker_no=WORKER_NO,
            lease_seconds=lease_seconds,
        )

    async def write(self, coordination: Coordination, plan: ImportPlan) -> TriggerOutcomes | None:
        """Write the plan; return the outcomes of the triggers."""
        written = await in_transaction(
            self.engine,
            lambda c: import_plans.write_plan(c, coordination, plan, source="a test", event="{}", worker_no=WORKER_NO),
        )
        return written.outcomes if written else None

    async def reschedule(
        self, coordination: Coordination, code: str, detail: str, *, seconds: float = 3600
    ) -> TriggerOutcomes | None:
        """Reschedule the import after a try that failed; it is due again in so many seconds."""
        event = {"code": code, "detail": detail}
        return await in_transaction(
            self.engine,
            lambda c: import_coordination.reschedule(
                c, coordination, tries=1, due_in_seconds=seconds, source="a test", event=event, outcome="failed"
            ),
        )

    async def fail(self, coordination: Coordination, code: str, detail: str) -> TriggerOutcomes | None:
        """End the import: it can't be coordinated."""
        return await in_transaction(
            self.engine,
            lambda c: import_coordination.fail(c, coordination, code, detail, source="a test", worker_no=WORKER_NO),
        )

    async def coordinate(self, plan: ImportPlan) -> int:
        """Submit and plan an import; return its key."""
        job_no = await self.submit()
        coordination = await self.begin(job_no)
        assert coordination is not None
        await self.write(coordination, plan)
        return job_no

    async def claim(
        self, *, calls: int = 100, lease_seconds: float = 60, but_not: Sequence[int] = ()
    ) -> list[tuple[ClaimedBatch, ImportRange]]:
        """Claim what is due, but not of some jobs, with what it is to read."""

        async def take(connection: Connection) -> list[tuple[ClaimedBatch, ImportRange]]:
            number = await configurations.current_no(connection)
            assert number is not None
            claimant = Claimant(secrets.randbits(62), WORKER_NO, lease_seconds, number, but_not_jobs=but_not)
            claimed = (
                await claiming.claim_calls(connection, {IMPORT_POOL: [SOURCE_NO]}, claimant, calls=calls)
            ).batches
            ranges = await read_ranges(connection, claimed)
            return [(claim, ranges[claim.job_no, claim.batch_no]) for claim in claimed]

        return await in_transaction(self.engine, take)

    async def record(self, *reports: ImportReport, is_known: bool = False) -> ImportRecorded:
        """Write rows and end batches; what `is_known` is looked up first."""
        return await in_transaction(
            self.engine, lambda c: import_results.record(c, reports, source="a test", is_known=is_known)
        )

    async def run_all(self) -> None:
        """Claim and complete until nothing is due."""
        while claimed := await self.claim():
            await self.record(*(read(*claim) for claim in claimed))


@asynccontextmanager
async def import_steps(database_url: str) -> AsyncIterator[ImportSteps]:
    """ImportSteps under the settings of a worker's connections."""
    engine = create_engine(database_url, size=8, pinned_plans=True)
    yield ImportSteps(engine)
    await engine.dispose()


def read(
    batch: ClaimedBatch, given: ImportRange, *, rows: int | None = None, payload: str = "{}", status: str = "completed"
) -> ImportReport:
    """What became of a batch that read its rows, or so many of them."""
    first, last = given.range["first"], given.range["last"]
    keys = [f"{number:09}" for number in range(first, last)][:rows]
    records = [ReadRow(key, payload, first + n) for n, key in enumerate(keys)]
    return ImportReport(batch, given, status, rows_read=len(records), records=records)


def failed(batch: ClaimedBatch, given: ImportRange, *, code: str = "source_unreadable") -> ImportReport:
    """A batch that can't be read."""
    return ImportReport(batch, given, "failed", error_code=code, error_detail="It is gone.")


def plan_of(
    *waves: Sequence[int], rows: int = 3, detail: str | None = None, key: Sequence[str] = ("id",)
) -> ImportPlan:
    """A plan of these waves, each a list of how many batches of record types of a level of its own it has."""
    types, ranges = [], []
    for wave_no, counts in enumerate(waves, 1):
        for count in counts:
            type_no = len(types)
            types.append(
                FoundRecordType(type_no, f"type-{type_no}", key, wave_no - 1, count * rows, detail is None, detail)
            )
            ranges += [
                PlannedRange(wave_no, type_no, n + 1, {"first": n * rows, "last": (n + 1) * rows}, rows, SOURCE_NO)
                for n in range(count)
            ]
    return ImportPlan(
        dataset="ledger",
        record_types=types,
        levels=[level for level, counts in enumerate(waves) if sum(counts)],
        batches=ranges,
        max_concurrent=10,
        window=WINDOW,
    )


async def import_keys(ledger: ImportSteps, keys: Sequence[str], *, dataset: str = "ledger") -> int:
    """Import rows with these keys as `type-0` of a dataset; return the key of the job."""
    job_no = await ledger.coordinate(replace(plan_of([1], rows=len(keys)), dataset=dataset))
    ((batch, given),) = await ledger.claim()
    rows = [ReadRow(key, orjson.dumps({"n": n}).decode(), n) for n, key in enumerate(keys)]
    await ledger.record(replace(read(batch, given), records=rows))
    return job_no
