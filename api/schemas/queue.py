"""The queue and the workers as they are shown."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class StuckWork(BaseModel):
    """Work that nobody took for a while, why, and what happens next."""

    job_id: str
    batch_id: str | None = Field(description="Null for a job that waits to be planned.")
    provider: str | None
    region: str | None
    reason: Literal["no_worker", "workers_silent", "workers_busy", "lease_expired"]
    detail: str
    next: str = Field(description="What happens next, by itself or by a person.")
    seconds: float = Field(description="For how long.")


class Worker(BaseModel):
    """A worker that gave a sign of life within the last lease."""

    id: str
    pid: int
    host: str
    started_at: datetime
    heartbeat_at: datetime
    running: int = Field(description="Cells in hand without a result.")


class Queue(BaseModel):
    """What waits, what runs and what is stuck, over all tenants; `stuck` lists the tenant's own."""

    broker: Literal["available", "unavailable"]
    depth: int | None = Field(description="Entries of the stream that aren't acknowledged; null without the broker.")
    undelivered: int | None = Field(description="Those of them that no worker has read.")
    lag: int | None = Field(description="The same as `undelivered`.")
    oldest_age_seconds: float | None = Field(description="Age of the oldest entry; 0 if there is none.")
    jobs_queued: int = Field(description="Jobs that wait to be planned.")
    batches_due: int
    batches_waiting: int = Field(description="Batches that become due later, after a failed try.")
    batches_running: int
    leases_expired: int = Field(description="Running batches whose lease ran out.")
    oldest_owed_seconds: float | None = Field(description="For how long the oldest job or batch could be worked on.")
    stuck: list[StuckWork] = Field(description="At most 50, longest first.")
    workers: list[Worker]
    checked_at: datetime
