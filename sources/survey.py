"""Finding out what there is to import: every record type is counted and cut into ranges, then laid out in waves."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from db.import_plans import FoundRecordType, ImportPlan, PlannedRange
from domain.batch_counts import MAX_BATCHES
from domain.identities import IdentityKey, of_source
from domain.import_spec import ImportSpec, RecordType
from domain.waves import PlannedWave, level_by_id, number_batches, plan_waves
from sources.errors import UNFORESEEN, SourceError, TooManyBatches, echoed
from sources.opened import OpenSource
from sources.protocol import Survey

WRITTEN_BATCHES = 60
"""Batches of a job that may be read and not yet written, over all workers, about."""
SURVEYS_AT_ONCE = 4
"""Record types counted at the same time: each COUNT is a scan of somebody else's database."""
NAMED_FAILURES = 5
"""Record types that one error names."""


@dataclass(frozen=True, slots=True)
class SurveyFailure:
    """Why a record type wasn't counted. `cause` is an unforeseen error, for the log.

    A `retryable` one may be gone the next time; one that `is_unavailable` says nothing of what was asked. `rows` are
    known of one that is only too large.
    """

    code: str
    detail: str
    retryable: bool = False
    is_unavailable: bool = False
    rows: int | None = None
    cause: Exception | None = None


Found: TypeAlias = Mapping[str, Survey | SurveyFailure]
"""What a survey found out, by record type, in the spec's order."""


async def survey(spec: ImportSpec, open_source: OpenSource, *, seconds: float = math.inf) -> Found:
    """Count all record types and cut them into batches, within the policy's limits; may take minutes.

    What can't be surveyed is returned, not raised. `seconds` bound all of it together, waiting included; the policy's
    `count_timeout_seconds` each by itself, from when its turn has come.
    """
    room = asyncio.Semaphore(min(SURVEYS_AT_ONCE, spec.policy.max_concurrent))
    deadline = None if math.isinf(seconds) else asyncio.get_running_loop().time() + seconds
    batches = 0

    async def one(record_type: RecordType) -> Survey | SurveyFailure:
        nonlocal batches
        in_all, counting = asyncio.timeout_at(deadline), asyncio.timeout(None)
        try:
            async with in_all, room, aclosing(open_source(record_type.source)) as source, source.survey_turn, counting:
                counting.reschedule(asyncio.get_running_loop().time() + spec.policy.count_timeout_seconds)
                found = await source.ranges(record_type.key, spec.policy.batch_size)
        except SourceError as error:
            return _failure(error)
        except Exception as error:  # noqa: BLE001 - an error of a source affects only its record type
            if in_all.expired() or counting.expired():
                limit = min(seconds, spec.policy.count_timeout_seconds)
                return SurveyFailure("count_timeout", f"It wasn't counted within {limit:g} seconds.")
            return SurveyFailure(SourceError.code, f"{UNFORESEEN} ({type(error).__name__}).", cause=error)
        batches += len(found.ranges)
        return found if batches <= MAX_BATCHES else _too_many(found.rows)  # nobody will need its ranges

    surveyed = await asyncio.gather(*map(one, spec.record_types))
    return _sized(dict(zip((one.id for one in spec.record_types), surveyed, strict=True)), spec)


def failure_of(spec: ImportSpec, found: Found) -> SurveyFailure | None:
    """Return why the import can't be planned, naming each record type that stands in its way; None if none does.

    It is worth another try only where nothing definite is wrong with any of them.
    """
    failed = [
        (record_type, result)
        for record_type in spec.record_types
        if isinstance(result := found[record_type.id], SurveyFailure)
    ]
    if not failed:
        return None
    _, first = failed[0]
    if all(failure.code == TooManyBatches.code for _, failure in failed):  # said of all of them together
        return first
    lines = [_described(record_type, failure) for record_type, failure in failed[:NAMED_FAILURES]]
    if len(failed) > NAMED_FAILURES:
        lines.append(f"and {len(failed) - NAMED_FAILURES} more.")
    return SurveyFailure(
        first.code,
        " ".join(lines),
        retryable=all(failure.retryable for _, failure in failed),
        is_unavailable=all(failure.is_unavailable for _, failure in failed),
    )


def waves_of(spec: ImportSpec, found: Found) -> int | None:
    """Return how many waves the import has; None where not all of it was counted."""
    surveys = {record_type: one for record_type, one in found.items() if isinstance(one, Survey)}
    return len(_waves(spec, surveys)) if len(surveys) == len(found) else None


def _failure(error: SourceError) -> SurveyFailure:
    if isinstance(error, TooManyBatches):
        return _too_many(error.rows)
    return SurveyFailure(error.code, error.detail, error.retryable, error.is_unavailable)


def _too_many(rows: int) -> SurveyFailure:
    """Return what is said of all once all are counted."""
    return SurveyFailure(TooManyBatches.code, "", rows=rows)


def _sized(found: Found, spec: ImportSpec) -> Found:
    """Say of what is too large how large all of it is, and what would do."""
    rows = sum(one.rows or 0 for one in found.values())
    detail = TooManyBatches(rows, spec.policy.batch_size, record_types=len(found)).detail
    return {
        record_type: replace(one, detail=detail) if isinstance(one, SurveyFailure) and one.rows is not None else one
        for record_type, one in found.items()
    }


def _described(record_type: RecordType, failure: SurveyFailure) -> str:
    """Return a failure with the record type and its source, which its own detail then needn't begin with."""
    source = record_type.source
    quoted = {name: echoed(value) for name, value in source.names.items()}
    begins = tuple(f"{noun}{name}: " for name in quoted.values() for noun in ("", "Connection "))
    begin = next((begin for begin in begins if failure.detail.startswith(begin)), "")
    detail = failure.detail.removeprefix(begin)
    return f"{record_type.id} ({source.label.format(**quoted)}): {detail}"


def plan(spec: ImportSpec, found: Found, identity_nos: Mapping[IdentityKey, int]) -> ImportPlan:
    """Lay out in waves what was found out, none of which may have failed; batches read these identities."""
    surveys = {record_type: one for record_type, one in found.items() if isinstance(one, Survey)}
    waves = _waves(spec, surveys)
    levels = level_by_id({one.id: one.depends_on for one in spec.record_types})
    no_by_id = {one.id: number for number, one in enumerate(spec.record_types)}
    batches = []
    for _, wave_no, record_type, range_no in number_batches(waves):
        one = surveys[record_type].ranges[range_no]
        identity_no = identity_nos[of_source(spec.record_types[no_by_id[record_type]].source)]
        batches.append(PlannedRange(wave_no, no_by_id[record_type], range_no + 1, one.range, one.rows, identity_no))
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
    return FoundRecordType(
        number, given.id, given.key, level, one.rows, one.is_complete, incomplete or one.detail, one.key_forms
    )
