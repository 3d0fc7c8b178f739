"""The answers of the probes."""

from typing import Literal

from pydantic import BaseModel, Field


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class DatabaseCheck(BaseModel):
    """PostgreSQL, and whether its schema is the one that this code brings."""

    status: Literal["ok"]
    schema_revision: str


class BrokerCheck(BaseModel):
    """Redis; without it, or without its taking writes, jobs are accepted and run, only later."""

    status: Literal["ok", "refuses_writes", "unavailable"] = "ok"
    code: str | None = Field(
        default=None, description="What is wrong, for programs, such as `full` or `read_only`; null where nothing is."
    )
    detail: str | None = Field(default=None, description="The fault, and its remedy.")


class Ready(BaseModel):
    """Whether requests can be served; `degraded` without the broker, or while it refuses writes."""

    status: Literal["ready", "degraded"]
    database: DatabaseCheck
    broker: BrokerCheck


class Versions(BaseModel):
    """What runs here."""

    breakwater: str
    python: str
    postgresql: str
    broker: str | None = Field(description="Null while the broker doesn't answer.")
    schema_revision: str


class Healthy(Ready):
    """Readiness, and the versions of everything involved."""

    versions: Versions
