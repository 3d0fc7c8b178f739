"""The queue and the workers as they are shown."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

StuckReason = Literal[
    "overdue",
    "paused",
    "lease_expired",
    "put_off",
    "gate_closed",
    "no_worker",
    "workers_silent",
    "limit_reached",
    "workers_busy",
]


class Action(BaseModel):
    """A request that a person may send; safe to send twice."""

    method: Literal["POST"] = "POST"
    path: str


class StuckWork(BaseModel):
    """Work that nobody took for a while, why, and what happens next."""

    job_id: str
    batch_id: str | None = Field(description="Null for a job that waits to be planned.")
    provider: str | None
    region: str | None
    reason: StuckReason
    detail: str
    next: str = Field(description="What happens next, by itself or by a person.")
    action: Action | None = Field(description="What a person may do about it; null where there is nothing to press.")
    seconds: float = Field(description="For how long.")


class Worker(BaseModel):
    """A worker that gave a sign of life within the last lease."""

    id: str
    pid: int
    host: str
    started_at: datetime
    heartbeat_at: datetime
    running: int = Field(description="Cells in hand without a result.")


class Leader(BaseModel):
    """The worker that looks for what was missed: leases that ran out, work that nobody heard of."""

    worker: str | None = Field(description="Its id; null if its entry is gone.")
    fence: int = Field(description="One higher with each worker that takes over.")
    is_leading: bool = Field(description="False once its lease ran out and no worker has taken over.")
    worked_at: datetime
    idle_seconds: float = Field(description="Since it last worked; much above RECONCILE_SECONDS, nobody leads.")


class Queue(BaseModel):
    """What waits, what runs and what is stuck, over all tenants; `stuck` lists the tenant's own."""

    broker: Literal["available", "refuses_writes", "unavailable"] = Field(
        description="Unless it is available, workers look for work in PostgreSQL, and it begins a little later."
    )
    broker_detail: str | None = Field(
        description="What is wrong with the broker and what to do; null where nothing is."
    )
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
    stuck: list[StuckWork] = Field(description="At most 50, longest first; what is paused comes last.")
    leader: Leader | None = Field(description="Null if no worker ever led.")
    workers: list[Worker]
    checked_at: datetime
