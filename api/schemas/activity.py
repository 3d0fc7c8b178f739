"""What goes on, in numbers: of a tenant's jobs, and of the whole installation."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.schemas.queue import BrokerState, StuckReason
from db import throughput
from db.job_counts import COUNTED, ENDED_WITHIN_HOURS, JobCounts


class Overview(BaseModel):
    """The tenant's jobs by state. A count that is `counted_to` means at least so many."""

    queued: int = Field(description="Jobs that wait to be planned.")
    coordinating: int = Field(description="Jobs that are being planned.")
    running: int
    with_unknown: int = Field(description="Jobs with cells that ended ambiguously, for a person to resolve.")
    completed: int = Field(description="Those that ended within `ended_within_hours`; so the next three.")
    partial: int
    failed: int
    cancelled: int
    ended_within_hours: int
    counted_to: int = Field(description="Where each count stops, so that it stays cheap.")

    @classmethod
    def of(cls, counts: JobCounts) -> Self:
        """Return the counts as they are shown."""
        shown = {name: getattr(counts, name) for name in JobCounts.__slots__}
        return cls(**shown, ended_within_hours=ENDED_WITHIN_HOURS, counted_to=COUNTED)


class Minute(BaseModel):
    """What ended in a minute. While no worker leads, it is counted in the first minute afterwards."""

    minute: datetime
    completed: int = Field(description="Cells that were completed.")
    failed: int = Field(description="Cells that ended otherwise.")
    imported: int = Field(description="Rows of import batches that ended.")

    @classmethod
    def of(cls, ended: throughput.Minute) -> Self:
        """Return the minute as it is shown."""
        return cls(minute=ended.minute, completed=ended.completed, failed=ended.failed, imported=ended.imported)


class Waiting(BaseModel):
    """Work that waits and runs, over all tenants; each count stops at 100,000."""

    jobs_queued: int = Field(description="Jobs that wait to be planned.")
    jobs_open: int = Field(description="Jobs that are being planned or run.")
    batches_due: int = Field(description="Batches that could be worked on.")
    batches_waiting: int = Field(description="Batches that become due later, after a failed try.")
    batches_running: int
    leases_expired: int
    cells_running: int = Field(description="Cells and import batches that live workers have in hand.")
    oldest_seconds: float = Field(description="How long the oldest of the jobs and due batches has waited.")


class PreventedDuplicates(BaseModel):
    """Duplicate work that was not done, counted from the beginning, by the layer that stopped it."""

    layer: str
    count: int


class Invariants(BaseModel):
    """The last recount of the newest jobs."""

    violations: dict[str, int] = Field(description="By invariant; anything but 0 is a bug.")
    checked_at: datetime


class Processes(BaseModel):
    """Processes by what is to be known of them."""

    workers: int = Field(description="Workers with a heartbeat within the last lease.")
    apis: int
    silent: int = Field(description="Of both, those whose heartbeat is late by more than one.")
    drained: int = Field(description="Workers that take no more work until they are resumed.")
    lost: int = Field(description="Those that fell silent within the last hour without having ended.")
    behind: int = Field(description="Those that don't serve the configuration in force yet.")
    differing: int = Field(description="Those whose file says another thing than the configuration in force.")
    lacking: int = Field(description="Those that lack a key or a URL for something that is configured.")


class Activity(BaseModel):
    """What goes on in the whole installation."""

    broker: BrokerState
    broker_detail: str | None = Field(description="The broker's fault and its remedy; null without one.")
    waiting: Waiting
    throughput: list[Minute] = Field(description="The last hour, oldest first; the newest minute isn't over yet.")
    duplicates_prevented: list[PreventedDuplicates]
    invariants: Invariants | None = Field(description="Null while PostgreSQL takes too long for the recount.")
    stuck: dict[StuckReason, int] = Field(description="Stuck work by its reason, of the first 50 of `GET /queue`.")
    dead_letters: int = Field(description="Counting stops at 10,000.")
    processes: Processes
    is_led: bool = Field(description="False once no worker has looked for lost work for a lease and two periods.")
    simulating: bool = Field(description="Whether the built-in `echo` answers in place of a provider.")
