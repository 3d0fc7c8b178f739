"""The queue and the workers as they are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from api.numbers import shown_execution_id
from api.schemas.actions import Action
from db.calls_in_flight import CallRead
from db.events import EventHolder as EventHolderRead

BrokerState = Literal["available", "refuses_writes", "unavailable"]
StuckReason = Literal[
    "overdue",
    "paused",
    "configuration_changed",
    "lease_expired",
    "put_off",
    "gate_closed",
    "no_worker",
    "workers_silent",
    "workers_drained",
    "not_served",
    "limit_reached",
    "workers_busy",
]


class StuckWork(BaseModel):
    """Work that no worker has claimed for a while, the reason, and the next step."""

    tenant: str = Field(description="The name of the job's tenant: others may have a job of the same id.")
    job_id: str
    batch_id: str | None = Field(description="Null for a job that waits to be planned.")
    provider: str | None
    region: str | None
    reason: StuckReason
    detail: str
    next: str = Field(description="What happens next, by itself or by a person.")
    action: Action | None = Field(description="What a person may do about it; null where there is nothing to press.")
    seconds: float = Field(description="For how long.")


class NotServed(BaseModel):
    """Something that is configured and that a process can't serve."""

    name: str = Field(examples=["providers.hybrid"])
    reason: str


class ServedConfiguration(BaseModel):
    """The configuration that a process serves, and the parts that it can serve."""

    number: int | None = Field(description="Null until it has read one.")
    is_current: bool = Field(description="False for a moment after another one was applied: it takes no work then.")
    file: Literal["none", "same", "differs"] = Field(
        description="What a file that it was given says, compared with the configuration in force, which it serves."
    )
    not_served: list[NotServed] = Field(description="What it lacks a key or a URL for.")


class Process(BaseModel):
    """A process as it entered itself into the register, and its last sign of life."""

    id: str
    role: Literal["worker", "api"]
    pid: int
    host: str
    version: str | None
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age_seconds: float


class Worker(Process):
    """A process that gave a sign of life within the last lease."""

    running: int = Field(description="Cells in hand without a result.")
    is_drained: bool = Field(description="Whether an operator lets it take no more work; always false of an API.")
    configuration: ServedConfiguration

    @classmethod
    def of(cls, process: Mapping[str, Any]) -> Self:
        """Return the process as it is shown."""
        shown = {name: process[name] for name in cls.model_fields if name != "configuration"}
        configuration = ServedConfiguration(
            number=process["configuration_no"],
            is_current=process["is_current"],
            file=process["config_file"],
            not_served=process["not_served"],
        )
        return cls(**shown, configuration=configuration)


class LostProcess(Process):
    """A process that fell silent within the last hour and never said that it ends."""


class CallInFlight(BaseModel):
    """A call that a worker has made and that isn't answered yet."""

    tenant: str
    job_id: str
    execution_id: str = Field(description="As its tenant sees it.")
    model_id: str
    region: str
    question_id: str
    provider: str
    worker: str | None = Field(description="Its id; null if its entry is gone.")
    attempts: int = Field(description="Tries of the cell before this one.")
    started_at: datetime
    seconds: float

    @classmethod
    def of(cls, call: CallRead) -> Self:
        """Return the call as it is shown."""
        shown = {name: getattr(call, name) for name in cls.model_fields}
        return cls(**{**shown, "execution_id": shown_execution_id(call.execution_id, tenant_no=call.tenant_no)})


class CallList(BaseModel):
    """Calls in flight, longest first."""

    items: list[CallInFlight] = Field(description="At most 100. A call shows up within a heartbeat after it began.")


class Leader(BaseModel):
    """The worker that looks for lost work: expired leases, and work without an envelope."""

    worker: str | None = Field(description="Its id; null if its entry is gone.")
    fence: int = Field(description="One higher with each worker that takes over.")
    is_leading: bool = Field(description="False once its lease ran out and no worker has taken over.")
    worked_at: datetime
    idle_seconds: float = Field(description="Since it last worked; much above RECONCILE_SECONDS, no worker leads.")


class EventHolder(BaseModel):
    """An open transaction that wrote an event: events that others committed after that wait for its end."""

    session: str | None = Field(description="The name of its session: a worker's id for its; null if it is prepared.")
    pid: int | None = Field(description="The server process of its session.")
    prepared: str | None = Field(description="The name of a prepared transaction, which only a person can end.")
    open_seconds: float | None = Field(description="Since the transaction began.")


class EventReading(BaseModel):
    """How far readers of the events of all jobs are behind the committed events."""

    behind_seconds: float = Field(
        description="How long ago the oldest event was written that is committed and can't be read yet; 0 if none is."
    )
    held_back_by: EventHolder | None = Field(
        description="What it waits for; null if it waits for nothing. Readers end such a session after 20 s."
    )

    @classmethod
    def of(cls, holder: EventHolderRead | None) -> Self:
        """Return it as it is shown."""
        if holder is None:
            return cls(behind_seconds=0, held_back_by=None)
        return cls(
            behind_seconds=holder.behind_seconds,
            held_back_by=EventHolder(**{name: getattr(holder, name) for name in EventHolder.model_fields}),
        )


class Queue(BaseModel):
    """Waiting, running and stuck work, over all tenants."""

    broker: BrokerState = Field(
        description="Unless it is available, workers look for work in PostgreSQL, and it begins a little later."
    )
    broker_detail: str | None = Field(description="The broker's fault and its remedy; null without one.")
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
    stuck: list[StuckWork] = Field(description="At most 50, longest first; paused work comes last.")
    events: EventReading
    leader: Leader | None = Field(description="Null if no worker ever led.")
    workers: list[Worker]
    apis: list[Worker] = Field(description="The API processes, likewise.")
    lost: list[LostProcess] = Field(description="At most 20, newest first; `stuck` says whether work waits for them.")
    checked_at: datetime
