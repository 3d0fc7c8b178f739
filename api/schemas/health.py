"""The answers of the probes."""

from typing import Literal

from pydantic import BaseModel, Field

WITHOUT_SCOPE = "with API keys null without one that has `operate`, `metrics` or `admin`."


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class DatabaseCheck(BaseModel):
    """PostgreSQL, and whether its schema is the one that this code brings."""

    status: Literal["ok"]
    schema_revision: str | None = Field(description=f"The schema that it has; {WITHOUT_SCOPE}")


class BrokerCheck(BaseModel):
    """Redis; without it, or without its taking writes, jobs are accepted and run, only later."""

    status: Literal["ok", "refuses_writes", "unavailable"] = "ok"
    code: str | None = Field(
        default=None, description="What is wrong, for programs, such as `full` or `read_only`; null where nothing is."
    )
    detail: str | None = Field(default=None, description=f"The fault, and its remedy; {WITHOUT_SCOPE}")


class Ready(BaseModel):
    """Whether requests can be served; `degraded` without the broker, or while it refuses writes."""

    status: Literal["ready", "degraded"]
    database: DatabaseCheck
    broker: BrokerCheck
    age_seconds: float = Field(description="How long ago PostgreSQL was looked at, for all that ask.", examples=[0.2])


class Versions(BaseModel):
    """What runs here. With API keys all of it is null without one that has `operate`, `metrics` or `admin`."""

    breakwater: str | None = None
    python: str | None = None
    postgresql: str | None = None
    broker: str | None = Field(default=None, description="Null while the broker doesn't answer, too.")
    schema_revision: str | None = Field(default=None, description="The schema that this version brings.")


class Healthy(Ready):
    """Readiness, and the versions of everything involved."""

    versions: Versions
