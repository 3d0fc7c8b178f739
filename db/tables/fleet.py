"""Processes, leaders, counters, pools, pauses, and operations on regions and providers."""

from typing import ClassVar

from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel

from db.tables.column_types import (
    Big,
    BigKey,
    IntKey,
    Json,
    MaybeTime,
    MaybeWords,
    Real,
    Time,
    TimeKey,
    Words,
    WordsKey,
)


class Process(SQLModel, table=True):
    """A process that serves, API or worker."""

    __tablename__: ClassVar[str] = "workers"
    __table_args__ = (UniqueConstraint("id", name="unique_worker_id"),)

    worker_no: IntKey
    id: Words
    role: Words
    pid: int
    host: Words
    running: int
    started_at: Time
    heartbeat_at: Time
    stopped_at: MaybeTime
    metrics: Json
    version: MaybeWords
    configuration_no: int | None
    config_file: MaybeWords
    not_served: Json
    is_drained: bool


class Leader(SQLModel, table=True):
    """The leader of a background service, its fence and lease, and when it last worked as the leader."""

    __tablename__: ClassVar[str] = "leaders"

    duty: WordsKey
    worker_no: int
    fence: Big
    lease_until: Time
    worked_at: Time


class ProcessCounter(SQLModel, table=True):
    """A counter of a process that commits with the counted work."""

    __tablename__: ClassVar[str] = "tallies"

    worker_no: IntKey
    series: WordsKey
    labels: WordsKey
    value: Real


class Throughput(SQLModel, table=True):
    """What has ended in all until the end of a minute."""

    __tablename__: ClassVar[str] = "throughput"

    minute: TimeKey
    completed: Big
    failed: Big
    imported: Big


class Pool(SQLModel, table=True):
    """A provider in a region: its limit of calls in flight, and its circuit breaker."""

    __tablename__: ClassVar[str] = "pools"

    provider: WordsKey
    region: WordsKey
    max_concurrent: int | None
    gate_until: MaybeTime
    gate_code: MaybeWords
    gate_detail: MaybeWords
    gate_times: int
    gate_closed_at: MaybeTime


class Pause(SQLModel, table=True):
    """Whether a region or a provider is paused, since when, by whom and why."""

    __tablename__: ClassVar[str] = "pauses"

    kind: WordsKey
    name: WordsKey
    is_paused: bool
    configured: bool
    changed_at: Time
    changed_by: Words
    reason: MaybeWords


class Operation(SQLModel, table=True):
    """An operation of a person on a region or a provider."""

    __tablename__: ClassVar[str] = "operations"

    operation_no: BigKey
    action: Words
    kind: Words
    name: Words
    at: Time
    by: Words
    reason: MaybeWords
