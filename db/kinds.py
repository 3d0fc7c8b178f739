"""The interface of kinds in the database: a row each, the unit of their progress, and the retry of their jobs.

The kinds of the release are put together in `built_in_kinds.py`; none is named here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from db.controls import Actor
from db.engine import Connection, statement
from db.jobs import read_job_state
from domain.errors import KindNotServed
from domain.key_limits import Quota


class Unit(StrEnum):
    """The unit that a job's progress counts and its audit recounts."""

    CELL = "cell"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class RetryFilter:
    """The filter of a retry: which failed units of a job run again; `region` is canonical. None stands for any."""

    region: str | None = None
    model: str | None = None
    error_code: str | None = None

    def given(self) -> Mapping[str, str]:
        """Return the members that were asked for, as an event and a log line name them."""
        members = {"region": self.region, "model": self.model, "error_code": self.error_code}
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Retried:
    """How many units were planned anew of those that were asked about, and the job's state after it.

    `unknown` counts the job's cells that ended ambiguously. `batch_no` is a batch with such units, None if there are
    none. A job that could not be coordinated `is_queued` to be. `quotas` is what is used of the quotas of the key that
    asked for it.
    """

    job_no: int
    job_id: str
    status: str
    retried: int
    untouched: int
    unknown: int
    batch_no: int | None = None
    is_queued: bool = False
    quotas: Sequence[Quota] = ()

    @property
    def is_any(self) -> bool:
        """Whether anything was planned anew."""
        return self.retried > 0 or self.is_queued


@dataclass(frozen=True, slots=True)
class StoredKind:
    """A kind, the unit of its progress, and the retry of its jobs.

    `retry` gets a job that its transaction has locked against other actions, plans its failed units anew and returns
    the result; `preview_retry` returns the result of a retry and changes nothing. Both raise JobCancelled, and
    ParametersRejected for a filter that a job of the kind can't have.
    """

    name: str
    unit: Unit
    retry: Callable[[Connection, int, RetryFilter, Actor], Awaitable[Retried]]
    preview_retry: Callable[[Connection, int, RetryFilter], Awaitable[Retried]]


async def register(connection: Connection, kinds: Sequence[StoredKind]) -> None:
    """Enter the kinds that the database doesn't know yet; jobs refer to them. Safe to repeat and to race.

    A kind that is known is left as it is, and nothing is locked.
    """
    await connection.execute(statement("register_kinds"), [kind.name for kind in kinds], [kind.unit for kind in kinds])


def kind_named(kinds: Mapping[str, StoredKind], name: str) -> StoredKind:
    """Return the kind of this name. Raises KindNotServed for a kind of another release."""
    if name not in kinds:
        raise KindNotServed(f"This process doesn't know jobs of kind {name}: ask one of a release that does.")
    return kinds[name]


async def kind_of(connection: Connection, job_no: int) -> str:
    """Return the name of a job's kind, which never changes."""
    return (await read_job_state(connection, job_no)).kind
