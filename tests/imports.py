"""Imports written straight through `db/`: submitted, coordinated, claimed and recorded, one transaction a step."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from db import batches, importing, imports, submissions
from db.batches import Claimant, ClaimedBatch
from db.engine import Connection, Engine, in_transaction
from db.importing import ImportRange, ImportRecorded, ImportSettlement, ReadRow
from db.imports import IMPORT_POOL, Coordination, FoundRecordType, ImportPlan, PlannedRange, Settled
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO

WORKER_NO = 7
WINDOW = 4


@dataclass
class Imports:
    """Moves imports on. Rows are numbered keys; a batch of n rows reads n of them."""

    engine: Engine

    async def submit(self, spec: object = None) -> int:
        """Store a queued import; return its key."""
        job = NewJob(
            id=f"import-{secrets.token_hex(6)}",
            kind="import",
            name="ledger",
            spec_hash=secrets.token_hex(8),
            planned=0,
            min_success_rate=1.0,
            model_ids=[],
            region_ids=[],
            question_ids=[],
            pairs=[],
            submitted="{}",
            spec=orjson.dumps(spec or {}).decode(),
            normalization="[]",
        )

        async def store(connection: Connection) -> int:
            return (await submissions.insert_jobs(connection, DEFAULT_TENANT_NO, [job]))[job.id]

        return await in_transaction(self.engine, store)

    async def begin(self, job_no: int, *, lease_seconds: float = 60) -> Coordination | None:
        """Take the right to coordinate."""
        await in_transaction(self.engine, lambda c: batches.enter_pools(c, {IMPORT_POOL: None}))
        holder = secrets.randbits(62)
        return await in_transaction(
            self.engine,
            lambda c: imports.begin(c, job_no, holder=holder, worker_no=WORKER_NO, lease_seconds=lease_seconds),
        )

    async def write(self, mine: Coordination, plan: ImportPlan) -> Settled | None:
        """Write the plan."""
        return await in_transaction(
            self.engine,
            lambda c: imports.write_plan(c, mine, plan, source="a test", event="{}", worker_no=WORKER_NO),
        )

    async def coordinate(self, plan: ImportPlan) -> int:
        """Submit and plan an import; return its key."""
        job_no = await self.submit()
        mine = await self.begin(job_no)
        assert mine is not None
        await self.write(mine, plan)
        return job_no

    async def claim(self, *, calls: int = 100, lease_seconds: float = 60) -> list[tuple[ClaimedBatch, ImportRange]]:
        """Claim what is due, with what it is to read."""

        async def take(connection: Connection) -> list[tuple[ClaimedBatch, ImportRange]]:
            claimant = Claimant(secrets.randbits(62), WORKER_NO, lease_seconds)
            claimed = (await batches.claim_calls(connection, [IMPORT_POOL], claimant, calls=calls)).batches
            ranges = await importing.read_ranges(connection, claimed)
            return [(one, ranges[one.job_no, one.batch_no]) for one in claimed]

        return await in_transaction(self.engine, take)

    async def record(self, *settlements: ImportSettlement) -> ImportRecorded:
        """Write rows and end batches."""
        return await in_transaction(
            self.engine, lambda c: importing.record(c, settlements, source="a test", window=WINDOW)
        )

    async def run_all(self) -> None:
        """Claim and complete until nothing is due."""
        while claimed := await self.claim():
            await self.record(*(read(*one) for one in claimed))


def read(
    batch: ClaimedBatch, given: ImportRange, *, rows: int | None = None, payload: str = "{}", status: str = "completed"
) -> ImportSettlement:
    """What became of a batch that read its rows, or so many of them."""
    first, last = given.range["first"], given.range["last"]
    keys = [f"{number:09}" for number in range(first, last)][:rows]
    return ImportSettlement(
        batch, given, status, records=[ReadRow(key, payload, first + n) for n, key in enumerate(keys)]
    )


def failed(batch: ClaimedBatch, given: ImportRange) -> ImportSettlement:
    """A batch that can't be read."""
    return ImportSettlement(batch, given, "failed", error_code="source_unreadable", error_detail="It is gone.")


def plan_of(*waves: Sequence[int], rows: int = 3, detail: str | None = None) -> ImportPlan:
    """A plan of these waves, each a list of how many batches of record types of a level of its own it has."""
    types, ranges = [], []
    for wave_no, counts in enumerate(waves, 1):
        for count in counts:
            type_no = len(types)
            types.append(FoundRecordType(type_no, f"type-{type_no}", wave_no - 1, count * rows, detail))
            ranges += [
                PlannedRange(wave_no, type_no, n + 1, {"first": n * rows, "last": (n + 1) * rows}, rows)
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
