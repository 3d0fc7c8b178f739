"""The survey of an import: counts every record type, cuts it into ranges, and plans them in waves."""

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
from sources.protocol import Survey
from sources.source_cache import OpenSource

WRITTEN_BATCHES = 60
"""About how many batches of a job may be read and not yet written, over all workers."""
SURVEYS_AT_ONCE = 4
"""Record types counted at the same time: each COUNT scans a table of a foreign database."""
NAMED_FAILURES = 5
"""Record types named in one error."""


@dataclass(frozen=True, slots=True)
class SurveyFailure:
    """Why a record type wasn't counted. `cause` is an unforeseen error, for the log.

    A `retryable` failure may be gone at the next try; a failure that `is_unavailable` doesn't count as an attempt at
    first. `rows` are known if the record type is only too large.
    """

    code: str
    detail: str
    retryable: bool = False
    is_unavailable: bool = False
    rows: int | None = None
    cause: Exception | None = None


Found: TypeAlias = Mapping[str, Survey | SurveyFailure]
"""The results of a survey by record type, in the spec's order."""


async def survey(spec: ImportSpec, open_source: OpenSource, *, seconds: float = math.inf) -> Found:
    """Count all record types and cut them into batches, within the policy's limits; may take minutes.

    Failures are returned, not raised. `seconds` bounds the whole survey, including waits; the policy's
    `count_timeout_seconds` bounds each record type once it has its permit.
    """
    permits = asyncio.Semaphore(min(SURVEYS_AT_ONCE, spec.policy.max_concurrent))
    deadline = None if math.isinf(seconds) else asyncio.get_running_loop().time() + seconds
    batches = 0

    async def survey_type(record_type: RecordType) -> Survey | SurveyFailure:
        nonlocal batches
        in_all, counting = asyncio.timeout_at(deadline), asyncio.timeout(None)
        try:
            async with (
                in_all,
                permits,
                aclosing(open_source(record_type.source)) as source,
                source.survey_permit,
                counting,
            ):
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
        return found if batches <= MAX_BATCHES else _too_many(found.rows)  # its ranges aren't needed any more

    surveyed = await asyncio.gather(*map(survey_type, spec.record_types))
    return _sized(dict(zip((each.id for each in spec.record_types), surveyed, strict=True)), spec)


def failure_of(spec: ImportSpec, found: Found) -> SurveyFailure | None:
    """Return why the import can't be planned, naming each record type that failed; None if none did.

    It is retryable only if every failure is.
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
    """Return how many waves the import has; None if a record type wasn't counted."""
    surveys = {record_type: result for record_type, result in found.items() if isinstance(result, Survey)}
    return len(_waves(spec, surveys)) if len(surveys) == len(found) else None


def _failure(error: SourceError) -> SurveyFailure:
    if isinstance(error, TooManyBatches):
        return _too_many(error.rows)
    return SurveyFailure(error.code, error.detail, error.retryable, error.is_unavailable)


def _too_many(rows: int) -> SurveyFailure:
    """Return the failure of a record type; its detail is written once all are counted."""
    return SurveyFailure(TooManyBatches.code, "", rows=rows)


def _sized(found: Found, spec: ImportSpec) -> Found:
    """Give all record types that are too large one detail: their rows together, and a batch size that would suffice."""
    rows = sum(result.rows or 0 for result in found.values())
    detail = TooManyBatches(rows, spec.policy.batch_size, record_types=len(found)).detail
    return {
        record_type: replace(result, detail=detail)
        if isinstance(result, SurveyFailure) and result.rows is not None
        else result
        for record_type, result in found.items()
    }


def _described(record_type: RecordType, failure: SurveyFailure) -> str:
    """Return a failure whose detail names the record type and its source, once."""
    source = record_type.source
    quoted = {name: echoed(value) for name, value in source.names.items()}
    begins = tuple(f"{noun}{name}: " for name in quoted.values() for noun in ("", "Connection "))
    begin = next((begin for begin in begins if failure.detail.startswith(begin)), "")
    detail = failure.detail.removeprefix(begin)
    return f"{record_type.id} ({source.label.format(**quoted)}): {detail}"


def plan(spec: ImportSpec, found: Found, identity_nos: Mapping[IdentityKey, int]) -> ImportPlan:
    """Plan the surveyed ranges in waves; no survey may have failed. The batches read these identities."""
    surveys = {record_type: result for record_type, result in found.items() if isinstance(result, Survey)}
    waves = _waves(spec, surveys)
    levels = level_by_id({each.id: each.depends_on for each in spec.record_types})
    no_by_id = {each.id: number for number, each in enumerate(spec.record_types)}
    batches = []
    for _, wave_no, record_type, range_no in number_batches(waves):
        planned = surveys[record_type].ranges[range_no]
        identity_no = identity_nos[of_source(spec.record_types[no_by_id[record_type]].source)]
        batches.append(
            PlannedRange(wave_no, no_by_id[record_type], range_no + 1, planned.range, planned.rows, identity_no)
        )
    return ImportPlan(
        dataset=spec.dataset,
        record_types=[
            _found_type(no_by_id[name], spec.record_types[no_by_id[name]], levels[name], surveyed)
            for name, surveyed in surveys.items()
        ],
        levels=[wave.level for wave in waves],
        batches=batches,
        max_concurrent=spec.policy.max_concurrent,
        window=window(spec),
    )


def _waves(spec: ImportSpec, surveys: Mapping[str, Survey]) -> Sequence[PlannedWave]:
    return plan_waves(
        spec.record_types,
        {record_type_id: len(surveyed.ranges) for record_type_id, surveyed in surveys.items()},
        batches_per_wave=spec.policy.batches_per_wave,
    )


def window(spec: ImportSpec) -> int:
    """Return how many batches of a wave may be ready or running at once, including batches that wait to be written."""
    return spec.policy.max_concurrent + WRITTEN_BATCHES


def _found_type(number: int, given: RecordType, level: int, surveyed: Survey) -> FoundRecordType:
    incomplete = None if surveyed.is_complete else surveyed.detail or "The source can't be read to its end."
    return FoundRecordType(
        number,
        given.id,
        given.key,
        level,
        surveyed.rows,
        surveyed.is_complete,
        incomplete or surveyed.detail,
        surveyed.key_forms,
    )
