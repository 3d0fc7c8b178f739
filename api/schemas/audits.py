"""Audits as they are shown: of a job, and of all jobs created in a window."""

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.paging import Listed
from db.audit import JobAudit, ShownAudit, WindowAudit
from domain.status import JobStatus

NOTHING_CHECKED = "No job was created in this window, so nothing was checked."


class AuditCounts(BaseModel):
    """Cells recounted from the executions."""

    planned: int
    terminal: int = Field(description="Cells with a result.")
    open: int = Field(description="Cells still without one.")
    duplicates: int = Field(description="Cells with more than one row or result. Must be 0.")
    out_of_plan: int = Field(description="Cells outside the plan, or missing from it once coordinated. Must be 0.")
    orphans: int = Field(description="Cells without a batch of their job and region. Must be 0.")
    attempts: int = Field(description="Tries that came to an end.")
    external_calls: int = Field(
        description="Those of them that asked a provider, not the built-in `echo`. A call whose end wasn't recorded "
        "(a crash, a cancel or a release came between) is in no attempt."
    )
    simulated: int = Field(description="Completed cells that the built-in `echo` answered in place of a provider.")
    config_mismatches: int = Field(
        description="Tries, and batches of imports, answered by another type or address than the job's. Must be 0."
    )
    unknown_configuration: int = Field(
        description="Tries, and batches of imports, from before there was a configuration to compare them with."
    )
    incomplete: int = Field(description="Cells whose answer was cut or filtered, or is a refusal.")
    superseded: int = Field(
        description="Rows of imports that weren't written, since a newer import had written the record otherwise."
    )
    unconfirmed_region: int = Field(
        description="Completed cells whose provider didn't say which region served. They were sent to the planned "
        "region; no answer confirms it."
    )
    holds: bool = Field(
        description="Whether all counts that must be 0 are 0, and the kept progress equals the counted one."
    )
    violations: list[str] = Field(description="Which of it doesn't hold; empty, or there is a bug.")


class _OfOneJob(BaseModel):
    job_id: str


class AuditedRecordType(BaseModel):
    """Which of the imports of a record type this one is."""

    id: str
    generation: int
    newest_generation: int = Field(description="That of the newest import of it; the same, or rows may be superseded.")


class Audit(AuditCounts, _OfOneJob):
    """One job, recounted."""

    record_types: list[AuditedRecordType] = Field(description="Of an import that is planned; else none.")
    checked_at: datetime = Field(description="The moment all of it was counted at.")

    @classmethod
    def of(cls, shown: ShownAudit, checked_at: datetime) -> Self:
        """Return the audit as it is shown."""
        audit = shown.audit
        counts = {name: getattr(audit, name) for name in _COUNTED}
        violations = audit.violations
        types = [
            AuditedRecordType(id=name, generation=own, newest_generation=new) for name, own, new in shown.generations
        ]
        return cls(
            job_id=audit.job_id,
            **counts,
            holds=not violations,
            violations=violations,
            checked_at=checked_at,
            record_types=types,
        )


class AuditInWindow(Audit):
    """One job of a window, recounted."""

    status: JobStatus
    created_at: datetime

    @classmethod
    def in_window(cls, shown: ShownAudit, checked_at: datetime) -> Self:
        """Return the audit as a window's list shows it."""
        audit = shown.audit
        return cls(
            **Audit.of(shown, checked_at).model_dump(), status=JobStatus(audit.status), created_at=audit.created_at
        )


class AuditTotals(AuditCounts):
    """The jobs of a window, summed."""

    jobs: int
    checked: int = Field(description="How many jobs were recounted: of 0, `holds` says nothing.")
    detail: str | None = Field(description="Says so where the window holds no job.")
    complete: bool = Field(description="False if the window holds more than is summed; then the newest jobs are.")

    @classmethod
    def of(cls, audits: Iterable[JobAudit], *, is_complete: bool) -> Self:
        """Return the sums."""
        found = list(audits)
        counts = {name: sum(getattr(audit, name) for audit in found) for name in _COUNTED}
        violations = sorted({name for audit in found for name in audit.violations})
        return cls(
            jobs=len(found),
            checked=len(found),
            detail=None if found else NOTHING_CHECKED,
            complete=is_complete,
            **counts,
            holds=not violations,
            violations=violations,
        )


class FleetAudit(Listed[AuditInWindow]):
    """The jobs created in a window, newest first, and their totals."""

    since: datetime
    until: datetime
    totals: AuditTotals
    checked_at: datetime

    @classmethod
    def of(cls, audit: WindowAudit, cursor: str | None) -> Self:
        """Return the window as it is shown."""
        return cls(
            since=audit.since,
            until=audit.until,
            totals=AuditTotals.of(audit.jobs, is_complete=audit.is_complete),
            items=[AuditInWindow.in_window(each, audit.checked_at) for each in audit.page.facts],
            next_cursor=cursor,
            checked_at=audit.checked_at,
        )


_COUNTED = (
    "planned",
    "terminal",
    "open",
    "duplicates",
    "out_of_plan",
    "orphans",
    "attempts",
    "external_calls",
    "incomplete",
    "unconfirmed_region",
    "simulated",
    "superseded",
    "config_mismatches",
    "unknown_configuration",
)
