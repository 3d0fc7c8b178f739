"""Previews of imports: rows and batches, counted for a dry run within seconds and not stored."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from api.fair_places import FairPlaces
from domain.identities import of_source
from domain.import_spec import ImportSpec
from domain.kinds import Normalized
from domain.waves import level_by_id
from sources.configured import ConfiguredSources
from sources.protocol import Survey
from sources.survey import Found, SurveyFailure, survey, waves_of
from submissions.submission import Submission

log = structlog.stdlib.get_logger()

PREVIEW_SECONDS = 5.0
AT_ONCE = 2
"""Dry runs of imports that count at the same time in one process; the wait of others counts as their time. Tenants take
turns."""


class ImportPreviews:
    """Counts the rows and batches of imports for dry runs."""

    def __init__(self, sources: ConfiguredSources, *, seconds: float = PREVIEW_SECONDS) -> None:
        self._sources = sources
        self._seconds = seconds
        self._places = FairPlaces(AT_ONCE)

    async def count(self, submission: Submission) -> Mapping[str, Any]:
        """Return the counts that a dry run of an import could make in time; the others are null."""
        given: Normalized[Any] = submission.normalized
        numbers = submission.identity_no_by_key
        began = asyncio.get_running_loop().time()
        async with self._places.place(submission.tenant_no):
            remaining = self._seconds - (asyncio.get_running_loop().time() - began)
            found = await survey(
                given.spec,
                lambda source: self._sources.open(source, numbers[of_source(source)]),
                seconds=max(0.0, remaining),
            )
        for record_type, surveyed in found.items():
            if isinstance(surveyed, SurveyFailure) and surveyed.cause is not None:
                log.error("source_failed", record_type=record_type, exc_info=surveyed.cause)
        return _planned(given, found)


def _planned(given: Normalized[ImportSpec], found: Found) -> Mapping[str, Any]:
    levels = level_by_id({each.id: each.depends_on for each in given.spec.record_types})
    shown = [_shown(surveyed, levels[record_type], record_type) for record_type, surveyed in found.items()]
    return {
        **given.planned.to_json(),
        "waves": waves_of(given.spec, found),
        "batches": _total([each["batches"] for each in shown]),
        "rows": _total([each["rows"] for each in shown]),
        "by_record_type": shown,
    }


def _shown(found: Survey | SurveyFailure, level: int, record_type: str) -> dict[str, Any]:
    if isinstance(found, SurveyFailure):
        error = {"code": found.code, "detail": found.detail}
        return {"id": record_type, "level": level, "rows": None, "batches": None, "detail": None, "error": error}
    return {
        "id": record_type,
        "level": level,
        "rows": found.rows,
        "batches": len(found.ranges),
        "detail": found.detail,
        "error": None,
    }


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
