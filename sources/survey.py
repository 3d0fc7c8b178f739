"""Finding out what there is to import: every record type is counted and cut into ranges, then laid out in waves."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from db.imports import FoundRecordType, ImportPlan, PlannedRange
from domain.import_policy import MAX_BATCHES
from domain.import_spec import ImportSpec, RecordType
from domain.waves import PlannedWave, level_by_id, number_batches, plan_waves
from sources.errors import SourceError, TooManyBatches
from sources.opened import OpenSource
from sources.protocol import Survey

WRITTEN_BATCHES = 60
"""Batches of a job that may be read and not yet written, over all workers, about."""
SURVEYS_AT_ONCE = 4
"""Record types counted at the same time: each COUNT is a scan of somebody else's database."""


class CountTimeout(Exception):
    """A record type took longer to count than the policy allows; the argument is its id."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a record type wasn't counted."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a survey found within its time: by record type, and the waves, None where any of them is missing."""

    by_record_type: Mapping[str, Survey | Trouble]
    waves: int | None


async def survey(spec: ImportSpec, open_source: OpenSource) -> ImportPlan:
    """Count all record types and cut them into batches, within the policy's limits. May take minutes.

    Raises SourceError and CountTimeout for the first record type that can't be surveyed, and TooManyBatches once all
    are counted.
    """
    room = _room(spec)
    batches = 0

    async def one(record_type: RecordType) -> Survey:
        nonlocal batches
        async with room:
            try:
                found = await _survey_one(record_type, spec, open_source)
                batches += len(found.ranges)
            except TooManyBatches as refused:
                found = Survey(refused.rows, [])
                batches += MAX_BATCHES + 1
        return found if batches <= MAX_BATCHES else replace(found, ranges=[])  # nobody will need them

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {record_type.id: group.create_task(one(record_type)) for record_type in spec.record_types}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    surveys = {record_type_id: task.result() for record_type_id, task in tasks.items()}
    if batches > MAX_BATCHES:
        rows = sum(one.rows for one in surveys.values())
        raise TooManyBatches(rows, spec.policy.batch_size, record_types=len(surveys))
    return _plan(spec, surveys)


async def preview(spec: ImportSpec, open_source: OpenSource, *, seconds: float) -> Preview:
    """Survey what can be surveyed within so many seconds in all. A source that can't be read is told, not raised."""
    room = _room(spec)
    deadline = asyncio.get_running_loop().time() + seconds

    async def one(record_type: RecordType) -> Survey | Trouble:
        try:
            async with asyncio.timeout_at(deadline), room, aclosing(open_source(record_type.source)) as source:
                return await source.ranges(record_type.key, spec.policy.batch_size)
        except TimeoutError:
            return Trouble("count_timeout", f"It wasn't counted within {seconds:g} seconds.")
        except SourceError as error:
            return Trouble(error.code, error.detail)

    found = dict(
        zip((x.id for x in spec.record_types), await asyncio.gather(*map(one, spec.record_types)), strict=True)
    )
    surveys = {record_type: one for record_type, one in found.items() if isinstance(one, Survey)}
    return Preview(found, len(_waves(spec, surveys)) if len(surveys) == len(found) else None)


def _room(spec: ImportSpec) -> asyncio.Semaphore:
    return asyncio.Semaphore(min(SURVEYS_AT_ONCE, spec.policy.max_concurrent))


async def _survey_one(record_type: RecordType, spec: ImportSpec, open_source: OpenSource) -> Survey:
    async with aclosing(open_source(record_type.source)) as source:
        deadline = asyncio.timeout(spec.policy.count_timeout_seconds)
        try:
            async with deadline:
                return await source.ranges(record_type.key, spec.policy.batch_size)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise CountTimeout(record_type.id) from error


def _plan(spec: ImportSpec, surveys: Mapping[str, Survey]) -> ImportPlan:
    waves = _waves(spec, surveys)
    levels = level_by_id({one.id: one.depends_on for one in spec.record_types})
    no_by_id = {one.id: number for number, one in enumerate(spec.record_types)}
    batches = []
    for _, wave_no, record_type, range_no in number_batches(waves):
        found = surveys[record_type].ranges[range_no]
        batches.append(PlannedRange(wave_no, no_by_id[record_type], range_no + 1, found.range, found.rows))
    return ImportPlan(
        dataset=spec.dataset,
        record_types=[
            _found(no_by_id[name], spec.record_types[no_by_id[name]], levels[name], one)
            for name, one in surveys.items()
        ],
        levels=[wave.level for wave in waves],
        batches=batches,
        max_concurrent=spec.policy.max_concurrent,
        window=window(spec),
    )


def _waves(spec: ImportSpec, surveys: Mapping[str, Survey]) -> Sequence[PlannedWave]:
    return plan_waves(
        spec.record_types,
        {record_type_id: len(one.ranges) for record_type_id, one in surveys.items()},
        batches_per_wave=spec.policy.batches_per_wave,
    )


def window(spec: ImportSpec) -> int:
    """Return how many batches of a wave may be ready or running at once: those that are read, and what is written."""
    return spec.policy.max_concurrent + WRITTEN_BATCHES


def _found(number: int, given: RecordType, level: int, one: Survey) -> FoundRecordType:
    incomplete = None if one.is_complete else one.detail or "The source can't be read to its end."
    return FoundRecordType(number, given.id, given.key, level, one.rows, one.is_complete, incomplete or one.detail)
