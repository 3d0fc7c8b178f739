"""The plan of an import: record types, their generations, waves and batches, written once under the lease's fence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from db.columns import columns
from db.engine import Connection, statement
from db.import_coordination import IMPORT_POOL, Coordination, TriggerOutcomes, lock_lease, trigger_outcomes
from db.record_keys import Respelled, respell_keys
from domain.key_forms import KeyForm


@dataclass(frozen=True, slots=True)
class FoundRecordType:
    """A surveyed record type: its number of rows, and whether its batches read all of them.

    `key` names the columns of its key, `key_forms` their possible spellings, if known. `detail` is a remark for people,
    such as why it isn't complete.
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
    """The result of coordination. Batches are in the order of their waves; `levels` are the waves' levels.

    `window` batches of a wave may be ready or running at once.
    """

    dataset: str
    record_types: Sequence[FoundRecordType]
    levels: Sequence[int]
    batches: Sequence[PlannedRange]
    max_concurrent: int
    window: int


class KeyChanged(Exception):
    """The dataset keeps a record type under another key; the key `wanted` would import its rows a second time."""

    def __init__(self, dataset: str, record_type: str, *, kept: Sequence[str], wanted: Sequence[str]) -> None:
        super().__init__(dataset, record_type, kept, wanted)
        self.dataset = dataset
        self.record_type = record_type
        self.kept = kept
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Written:
    """The result of writing a plan: the outcomes of triggers, and the job's final status if it has no batches.

    `respelled` counts the records that this plan renamed, by record type.
    """

    outcomes: TriggerOutcomes
    final_status: str | None = None
    respelled: Mapping[str, Respelled] = field(default_factory=dict)


async def write_plan(
    connection: Connection, lease: Coordination, plan: ImportPlan, *, source: str, event: str, worker_no: int
) -> Written | None:
    """Write an import's waves and batches and start it, in the caller's transaction; None, unchanged, if fenced off.

    Locks the job, then its coordination by fence and holder. `event` is the event's data as JSON.
    Raises KeyChanged, and the transaction must be undone.
    """
    if not await lock_lease(connection, lease):
        return None
    set_by_type = await _enter_record_sets(connection, lease.tenant_no, plan)
    generation_by_set = await _number(connection, list(set_by_type.values()))
    respelled = await _respell_keys(connection, lease.job_no, plan, set_by_type)
    rows = await connection.fetch(
        statement("insert_import_plan"),
        lease.job_no,
        *_record_type_columns(plan, set_by_type),
        *_wave_columns(plan),
        *_batch_columns(plan),
        plan.window,
        *IMPORT_POOL,
        plan.max_concurrent,
        source,
        event,
        lease.trigger_no,
        worker_no,
        [batch.identity_no for batch in plan.batches],
        [generation_by_set[set_by_type[record_type.id]] for record_type in plan.record_types],
    )
    final_status = None
    if not plan.batches:
        final_status = await connection.fetchval(statement("finish_empty_import"), lease.job_no, source)
        await connection.execute(statement("complete_generations"), [lease.job_no])
    return Written(trigger_outcomes(rows), final_status, respelled)


async def _enter_record_sets(connection: Connection, tenant_no: int, plan: ImportPlan) -> Mapping[str, int]:
    ids = [record_type.id for record_type in plan.record_types]
    keys = [orjson.dumps(record_type.key).decode() for record_type in plan.record_types]
    await connection.execute(statement("enter_record_sets"), tenant_no, plan.dataset, ids, keys)
    # A separate statement, so that it sees the rows that another import entered while this one waited.
    rows = await connection.fetch(statement("find_record_sets"), tenant_no, plan.dataset, ids)
    kept_by_type = {row["record_type"]: row["key"] for row in rows}
    for record_type in plan.record_types:
        if kept_by_type[record_type.id] != list(record_type.key):
            raise KeyChanged(plan.dataset, record_type.id, kept=kept_by_type[record_type.id], wanted=record_type.key)
    return {row["record_type"]: row["record_set_no"] for row in rows}


async def _number(connection: Connection, record_set_nos: Sequence[int]) -> Mapping[int, int]:
    """Return the next generation of each record set, and lock the record sets until the commit."""
    rows = await connection.fetch(statement("number_record_sets"), record_set_nos)
    await connection.execute(statement("raise_open_generations"), record_set_nos)
    return {row["record_set_no"]: row["generation"] for row in rows}


async def _respell_keys(
    connection: Connection, job_no: int, plan: ImportPlan, set_by_type: Mapping[str, int]
) -> Mapping[str, Respelled]:
    respelled = {}
    for record_type in plan.record_types:
        if record_type.key_forms:
            found = await respell_keys(connection, set_by_type[record_type.id], job_no, record_type.key_forms)
            respelled.update({} if found is None else {record_type.id: found})
    return respelled


def _record_type_columns(plan: ImportPlan, set_by_type: Mapping[str, int]) -> Sequence[Sequence[object]]:
    rows = [
        (
            record_type.record_type_no,
            record_type.id,
            set_by_type[record_type.id],
            record_type.level,
            record_type.rows_expected,
            record_type.is_complete,
            record_type.detail,
        )
        for record_type in plan.record_types
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
    for batch_no, batch in enumerate(plan.batches, 1):
        released = batch_no + plan.window
        is_in_wave = released < first_by_wave[batch.wave_no] + count_by_wave[batch.wave_no]
        rows.append(
            (
                batch.wave_no,
                released if is_in_wave else None,
                batch.record_type_no,
                batch.record_batch_no,
                orjson.dumps(batch.range).decode(),
                batch.rows_expected,
            )
        )
    return columns(rows, 6)


def _extents(plan: ImportPlan) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first batch number and the number of batches of each wave."""
    first_by_wave: dict[int, int] = {}
    count_by_wave: dict[int, int] = {}
    for batch_no, batch in enumerate(plan.batches, 1):
        first_by_wave.setdefault(batch.wave_no, batch_no)
        count_by_wave[batch.wave_no] = count_by_wave.get(batch.wave_no, 0) + 1
    return first_by_wave, count_by_wave
