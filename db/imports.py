"""Coordination of imports: who may find out what there is to read, under a lease and a fence; and the plan, once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from db.batches import PoolKey
from db.columns import columns
from db.engine import Connection, statement
from db.record_keys import Respelled, respell_keys
from domain.key_forms import KeyForm

IMPORT_POOL: PoolKey = ("import", "")
"""The pool of all batches of imports. No provider has this region, so no configuration can name it."""
DATASET_LOCK_SPACE = 0x646174
"""The first number of the advisory locks of datasets ("dat")."""


class Served(NamedTuple):
    """A configuration, and the numbers of the identities that a worker serves of it."""

    configuration_no: int
    identity_nos: Sequence[int]


@dataclass(frozen=True, slots=True)
class Coordination:
    """The right to coordinate an import: fence and holder name its lease. `attempts` tries failed before.

    `lost_leases` ran out in a row before this one; a source was away for `away_seconds` until now, if it was.
    `fenced_sources` are the triggers of those whose lease ran out.
    """

    job_no: int
    id: str
    tenant_no: int
    identity_nos: Sequence[int]
    spec: Mapping[str, Any]
    fence: int
    holder: int
    attempts: int
    trigger_no: int
    source: str
    fenced_sources: Sequence[str]
    lost_leases: int = 0
    away_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class FoundRecordType:
    """What was found out about a record type: how many rows it has, and whether batches read all of them.

    `key` names the columns of its key, of which `key_forms` say how they may be spelled, if that is known. `detail`
    says what a person should know of it; why it isn't complete, if so.
    """

    record_type_no: int
    id: str
    key: Sequence[str]
    level: int
    rows_expected: int
    is_complete: bool = True
    detail: str | None = None
    key_forms: Sequence[KeyForm] = ()


@dataclass(frozen=True, slots=True)
class PlannedRange:
    """A batch of an import: the rows of one record type that the source `identity_no` reads as `range`."""

    wave_no: int
    record_type_no: int
    record_batch_no: int
    range: Mapping[str, Any]
    rows_expected: int
    identity_no: int


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """All that coordination writes. Batches come in the order of their waves; `levels` are those of the waves.

    `window` batches of a wave may be ready or running at once.
    """

    dataset: str
    record_types: Sequence[FoundRecordType]
    levels: Sequence[int]
    batches: Sequence[PlannedRange]
    max_concurrent: int
    window: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """An import that may not be coordinated yet: it waits for job `other_id`, which has `record_type` too.

    Until that one is planned, or until its end.
    """

    job_id: str
    other_id: str
    record_type: str
    until_end: bool


class KeyChanged(Exception):
    """A record type of the dataset is kept under another key; `wanted` would bring its rows in a second time."""

    def __init__(self, dataset: str, record_type: str, *, kept: Sequence[str], wanted: Sequence[str]) -> None:
        super().__init__(dataset, record_type, kept, wanted)
        self.dataset = dataset
        self.record_type = record_type
        self.kept = kept
        self.wanted = wanted


Settled = Sequence[tuple[str, str]]
"""(source, outcome) of triggers that got their outcome."""


@dataclass(frozen=True, slots=True)
class Written:
    """What writing a plan came to: the triggers it settled, and the job's verdict where there was nothing to do.

    `respelled` says of record types whose records were renamed by this plan how many.
    """

    settled: Settled
    verdict: str | None = None
    respelled: Mapping[str, Respelled] = field(default_factory=dict)


async def find_imports(
    connection: Connection, served: Served, *, limit: int, but_not: Collection[int] = ()
) -> Sequence[tuple[int, str]]:
    """Return (job_no, id) of imports that who serves this may coordinate now. Locks nothing: `begin` decides."""
    rows = await connection.fetch(statement("find_imports"), limit, list(but_not), *served)
    return [(row["job_no"], row["id"]) for row in rows]


async def next_due_seconds(connection: Connection) -> float | None:
    """Return in how many seconds an import may be coordinated that may not be now, or None."""
    seconds: float | None = await connection.fetchval(statement("next_import"))
    return seconds


async def begin(
    connection: Connection, job_no: int, served: Served, *, holder: int, worker_no: int, lease_seconds: float
) -> Coordination | Waiting | None:
    """Take the right to coordinate an import, in the caller's transaction; None where somebody has it, or it ended.

    None too where another configuration is in force than `served` says, or the import was accepted under what it
    doesn't serve. Locks the job, then its dataset. Whoever held the right before is fenced off, and its trigger ends
    as `fenced`. Imports that share a record type pin their sources one at a time: where another one is at it, runs
    without a snapshot, or comes first by its turn, this one waits for it.
    """
    if not await connection.fetchval(statement("lock_import_job"), job_no):
        return None
    await lock_dataset(connection, job_no)
    await connection.execute(statement("fence_off_expired_imports"), job_no)
    if (other := await connection.fetchrow(statement("find_import_blocker"), job_no)) is not None:
        return await _wait(connection, job_no, other)
    row = await connection.fetchrow(statement("begin_coordination"), job_no, holder, worker_no, lease_seconds, *served)
    return Coordination(holder=holder, **row) if row is not None else None


async def lock_dataset(connection: Connection, job_no: int) -> None:
    """Decide alone which imports of this one's dataset may run, until the caller's transaction ends.

    A statement of its own: those that follow see what the one before decided.
    """
    await connection.execute(statement("lock_dataset"), job_no, DATASET_LOCK_SPACE)


async def renew(connection: Connection, mine: Coordination, lease_seconds: float) -> bool:
    """Renew the lease; return whether it is still held."""
    renewed = await connection.fetchval(
        statement("renew_coordination"), mine.job_no, mine.fence, mine.holder, lease_seconds
    )
    return renewed is not None


async def write_plan(
    connection: Connection, mine: Coordination, plan: ImportPlan, *, source: str, event: str, worker_no: int
) -> Written | None:
    """Write an import's waves and batches and start it, in the caller's transaction; None, and nothing, if fenced off.

    Locks the job, then its coordination by fence and holder. `event` is the event's data as JSON.
    Raises KeyChanged, and the transaction must be undone.
    """
    if not await _still_mine(connection, mine):
        return None
    set_by_type = await _enter_record_sets(connection, mine.tenant_no, plan)
    generation_by_set = await _number(connection, list(set_by_type.values()))
    respelled = await _respell_keys(connection, mine.job_no, plan, set_by_type)
    rows = await connection.fetch(
        statement("insert_import_plan"),
        mine.job_no,
        *_record_type_columns(plan, set_by_type),
        *_wave_columns(plan),
        *_batch_columns(plan),
        plan.window,
        *IMPORT_POOL,
        plan.max_concurrent,
        source,
        event,
        mine.trigger_no,
        worker_no,
        [one.identity_no for one in plan.batches],
        [generation_by_set[set_by_type[one.id]] for one in plan.record_types],
    )
    verdict = None
    if not plan.batches:
        verdict = await connection.fetchval(statement("finish_empty_import"), mine.job_no, source)
        await connection.execute(statement("complete_generations"), [mine.job_no])
    return Written(_settled(rows), verdict, respelled)


async def was_taken_over(connection: Connection, mine: Coordination) -> bool:
    """Return whether somebody else took the right that was `mine`; else the job ended meanwhile."""
    outcome = await connection.fetchval(statement("read_trigger_outcome"), mine.trigger_no)
    return bool(outcome == "fenced")


async def fail(
    connection: Connection, mine: Coordination, code: str, detail: str, *, source: str, worker_no: int
) -> Settled | None:
    """End an import that can't be coordinated, in the caller's transaction; None, and nothing, if fenced off."""
    if not await _still_mine(connection, mine):
        return None
    return _settled(
        await connection.fetch(statement("fail_coordination"), mine.job_no, code, detail, source, worker_no)
    )


async def put_off(
    connection: Connection,
    mine: Coordination,
    *,
    tries: int,
    due_in_seconds: float,
    source: str,
    event: Mapping[str, object],
    outcome: str,
    is_away: bool | None = None,
) -> Settled | None:
    """Give an import back to the queue, after `tries` (0 or 1) that count; None, and nothing, if fenced off.

    `is_away` says whether a source was found away, None that nothing was found out.
    """
    if not await _still_mine(connection, mine):
        return None
    return _settled(
        await connection.fetch(
            statement("put_off_coordination"),
            mine.job_no,
            tries,
            due_in_seconds,
            source,
            orjson.dumps(event).decode(),
            outcome,
            is_away,
        )
    )


async def _still_mine(connection: Connection, mine: Coordination) -> bool:
    """Lock the job, then the right; say whether this coordinator still has it. The guard of every write."""
    if not await connection.fetchval(statement("lock_import_job"), mine.job_no):
        return False
    held = await connection.fetchval(statement("check_coordination"), mine.job_no, mine.fence, mine.holder)
    return held is not None


async def _enter_record_sets(connection: Connection, tenant_no: int, plan: ImportPlan) -> Mapping[str, int]:
    ids = [one.id for one in plan.record_types]
    keys = [orjson.dumps(one.key).decode() for one in plan.record_types]
    await connection.execute(statement("enter_record_sets"), tenant_no, plan.dataset, ids, keys)
    # A statement of its own: it sees what another import entered while this one waited for it.
    rows = await connection.fetch(statement("find_record_sets"), tenant_no, plan.dataset, ids)
    kept_by_type = {row["record_type"]: row["key"] for row in rows}
    for one in plan.record_types:
        if kept_by_type[one.id] != list(one.key):
            raise KeyChanged(plan.dataset, one.id, kept=kept_by_type[one.id], wanted=one.key)
    return {row["record_type"]: row["record_set_no"] for row in rows}


async def _number(connection: Connection, record_set_nos: Sequence[int]) -> Mapping[int, int]:
    """Return the next generation of each record set, which is locked to the commit."""
    rows = await connection.fetch(statement("number_record_sets"), record_set_nos)
    await connection.execute(statement("raise_open_generations"), record_set_nos)
    return {row["record_set_no"]: row["generation"] for row in rows}


async def _wait(connection: Connection, job_no: int, other: Any) -> Waiting | None:
    job_id = await connection.fetchval(
        statement("wait_for_import"), job_no, other["job_no"], other["record_type"], other["is_running"]
    )
    if job_id is None:
        return None
    return Waiting(job_id, other["id"], other["record_type"], until_end=other["is_running"])


async def _respell_keys(
    connection: Connection, job_no: int, plan: ImportPlan, set_by_type: Mapping[str, int]
) -> Mapping[str, Respelled]:
    respelled = {}
    for one in plan.record_types:
        if one.key_forms:
            found = await respell_keys(connection, set_by_type[one.id], job_no, one.key_forms)
            respelled.update({} if found is None else {one.id: found})
    return respelled


def _record_type_columns(plan: ImportPlan, set_by_type: Mapping[str, int]) -> Sequence[Sequence[object]]:
    rows = [
        (one.record_type_no, one.id, set_by_type[one.id], one.level, one.rows_expected, one.is_complete, one.detail)
        for one in plan.record_types
    ]
    return columns(rows, 7)


def _wave_columns(plan: ImportPlan) -> Sequence[Sequence[object]]:
    first_by_wave, count_by_wave = _extents(plan)
    rows = [
        (wave_no, level, count_by_wave[wave_no], first_by_wave[wave_no]) for wave_no, level in enumerate(plan.levels, 1)
    ]
    return columns(rows, 4)


def _batch_columns(plan: ImportPlan) -> Sequence[Sequence[object]]:
    first_by_wave, count_by_wave = _extents(plan)
    rows = []
    for batch_no, one in enumerate(plan.batches, 1):
        released = batch_no + plan.window
        is_in_wave = released < first_by_wave[one.wave_no] + count_by_wave[one.wave_no]
        rows.append(
            (
                one.wave_no,
                released if is_in_wave else None,
                one.record_type_no,
                one.record_batch_no,
                orjson.dumps(one.range).decode(),
                one.rows_expected,
            )
        )
    return columns(rows, 6)


def _extents(plan: ImportPlan) -> tuple[dict[int, int], dict[int, int]]:
    """Return the number of each wave's first batch, and how many it has."""
    first_by_wave: dict[int, int] = {}
    count_by_wave: dict[int, int] = {}
    for batch_no, one in enumerate(plan.batches, 1):
        first_by_wave.setdefault(one.wave_no, batch_no)
        count_by_wave[one.wave_no] = count_by_wave.get(one.wave_no, 0) + 1
    return first_by_wave, count_by_wave


def _settled(rows: Sequence[Any]) -> Settled:
    return [(row["source"], row["outcome"]) for row in rows]
