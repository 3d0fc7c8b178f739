"""What the probes answer."""

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
    """Redis; without it jobs are accepted and run, only later."""

    status: Literal["ok", "unavailable"]


class Ready(BaseModel):
    """Whether requests can be served; `degraded` without the broker."""

    status: Literal["ready", "degraded"]
    database: DatabaseCheck
    broker: BrokerCheck


class Versions(BaseModel):
    """What runs here."""

    breakwater: str
    python: str
    postgresql: str
    broker: str | None = Field(description="Null while the broker is away.")
    schema_revision: str


class Healthy(Ready):
    """Readiness, and the versions of everything involved."""

    versions: Versions
