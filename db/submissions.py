"""Submissions: looking up the facts that decide them, locking out equal ones, and storing what they ask for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from asyncpg import LockNotAvailableError, UniqueViolationError

from db.configurations import CONFIGURATION_LOCK, ConfigurationChanged
from db.engine import Connection, statement
from domain.spec import CellPlan

UNIQUE_VIOLATION = UniqueViolationError
"""Raised if a writer outside this protocol inserted the same job, id or key first."""

LOCK_TIMED_OUT = LockNotAvailableError
"""Raised if a statement waited too long for a writer outside this protocol, or for a table."""
NO_CELLS = CellPlan((), (), (), (), min_success_rate=1.0)
"""The cells stored for a job that is counted when it is coordinated."""
OWN_LOCK_TIMEOUT = "2s"
"""The limit of waits for rows that only this process writes; its other transactions hold them until they commit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys of a tenant's look-up: an Idempotency-Key and a job id, if given, and a content hash."""

    tenant_no: int
    key: str | None
    id: str | None
    spec_hash: str


@dataclass(frozen=True, slots=True)
class Known:
    """The result of a look-up: the key's first response, the job with the id, the active or recent equal job.

    `previous_…` describe the last job with the spec hash that ended and isn't joined any more, other than the job with
    the id.
    """

    key_request: str | None
    key_job_no: int | None
    key_body_hash: str | None
    key_status_code: int | None
    key_answer: Any
    key_submitted: Any
    id_job_no: int | None
    hash_job_no: int | None
    hash_is_active: bool
    previous_id: str | None
    previous_status: str | None
    previous_finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that a submission matched; `submitted` and `spec` are JSON values, None once purged."""

    job_no: int
    id: str
    kind: str
    status: str
    created_at: datetime
    spec_hash: str
    submitted: Any
    spec: Any


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to store; `submitted`, `spec` and `normalization` are JSON text.

    A job without `cells` is counted when it is coordinated. It was normalized under `configuration_no` and may be
    served by `identity_nos`.
    """

    tenant_no: int
    id: str
    kind: str
    name: str
    spec_hash: str
    submitted: str
    spec: str
    normalization: str
    configuration_no: int
    identity_nos: Sequence[int]
    cells: CellPlan | None = None


@dataclass(frozen=True, slots=True)
class FirstResponse:
    """The first response to the `request` (method and path) that came with a key.

    The response to a submission is stored without its spec, and `submitted` only if it differs from the job's; only
    submissions name a job.
    """

    tenant_no: int
    key: str
    request: str
    body_hash: str
    job_no: int | None
    status_code: int
    answer: str
    submitted: str | None


def lock_key(kind: str, tenant_no: int, value: str) -> int:
    """Return the advisory lock's number for an Idempotency-Key, an id or a spec hash of a tenant."""
    digest = blake2b(f"{kind}\0{tenant_no}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


async def look_up(
    connection: Connection,
    wanted: Sequence[Wanted],
    *,
    keep_hours: float,
    recent_seconds: float,
) -> list[Known]:
    """Return the facts for each, in order, from committed rows and without locks."""
    rows = await connection.fetch(
        statement("look_up_submissions"),
        [each.tenant_no for each in wanted],
        [each.key for each in wanted],
        [each.id for each in wanted],
        [each.spec_hash for each in wanted],
        keep_hours,
        recent_seconds,
    )
    return [Known(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Locked:
    """The advisory locks that a transaction got, whether the configuration is locked until its end, and its time."""

    free: frozenset[int]
    is_configuration_kept: bool
    at: datetime


async def try_locks(connection: Connection, keys: Iterable[int], lock_timeout: str) -> Locked:
    """Take the free advisory locks, and a shared lock of the configuration, until the transaction's end.

    Never waits. A lock that isn't free decides nothing: look up again once its holder has committed. The configuration
    isn't locked while another one is being applied. Any later wait for a lock raises LOCK_TIMED_OUT after
    `lock_timeout`: no transaction of this protocol has to be waited for.
    """
    row = await connection.fetchrow(
        statement("lock_submission_keys"), sorted(set(keys)), lock_timeout, CONFIGURATION_LOCK
    )
    assert row is not None  # noqa: S101 - the statement always gives one row
    return Locked(frozenset(row["free"]), row["is_configuration_kept"], row["locked_at"])


async def wait_for_own_rows(connection: Connection) -> None:
    """Extend the lock timeout to the time that another transaction of this process may take to commit."""
    await connection.execute(f"SET LOCAL lock_timeout = '{OWN_LOCK_TIMEOUT}'")


def timed_out_on_a_row(error: LOCK_TIMED_OUT) -> bool:
    """Return whether LOCK_TIMED_OUT is about a row that one submission needs, and not about a table that all need.

    PostgreSQL's message names the row and its relation, but not for a table's lock.
    """
    return getattr(error, "context", None) is not None


async def insert_jobs(connection: Connection, jobs: Sequence[NewJob]) -> dict[tuple[int, str], int]:
    """Store these jobs as queued, in the caller's transaction; return their keys by tenant and id.

    Raises UNIQUE_VIOLATION if a job exists, and ConfigurationChanged if a job was normalized under a configuration that
    isn't in force; then the transaction must be undone.
    """
    rows = [
        (
            job.tenant_no,
            job.id,
            job.kind,
            job.name,
            job.spec_hash,
            cells.planned,
            cells.min_success_rate,
            _text_array(cells.model_ids),
            _text_array(cells.region_ids),
            _text_array(cells.question_ids),
            _int_array([model_no * 256 + region_no for model_no, region_no in cells.pairs]),
            job.submitted,
            job.spec,
            job.normalization,
            job.configuration_no,
            _int_array(job.identity_nos),
            cells.queue_timeout_seconds,
        )
        for job, cells in ((job, job.cells or NO_CELLS) for job in jobs)
    ]
    stored = await connection.fetch(statement("insert_jobs"), *zip(*rows, strict=True))
    if len(stored) < len(jobs):
        raise ConfigurationChanged
    return {(row["tenant_no"], row["id"]): row["job_no"] for row in stored}


async def keep_first_responses(
    connection: Connection, responses: Sequence[FirstResponse], *, keep_hours: float
) -> set[tuple[int, str]]:
    """Keep these first responses under their keys; return the (tenant_no, key) that were taken.

    Those are all, if their locks were held.
    """
    rows = [
        (
            each.tenant_no,
            each.key,
            each.request,
            each.body_hash,
            each.job_no,
            each.status_code,
            each.answer,
            each.submitted,
        )
        for each in responses
    ]
    taken = await connection.fetch(statement("insert_idempotency_keys"), *zip(*rows, strict=True), keep_hours)
    return {(row["tenant_no"], row["key"]) for row in taken}


async def count_submissions(connection: Connection, job_nos: Iterable[int]) -> dict[int, int]:
    """Return how often each of these jobs was submitted, from the ledger."""
    rows = await connection.fetch(statement("count_submissions"), sorted(set(job_nos)))
    return {row["job_no"]: row["times_seen"] for row in rows}


async def load_submitted_jobs(connection: Connection, job_nos: Iterable[int]) -> dict[int, SubmittedJob]:
    """Return these jobs with the columns that a submission's response shows."""
    rows = await connection.fetch(statement("load_submitted_jobs"), sorted(set(job_nos)))
    return {row["job_no"]: SubmittedJob(*row) for row in rows}


async def was_submitted_without_key(connection: Connection, job_no: int) -> bool:
    """Return whether a job was submitted without an API key."""
    return bool(await connection.fetchval(statement("was_submitted_without_key"), job_no))


async def count_backlog(connection: Connection, limit: int) -> dict[int, int]:
    """Return how many jobs of each tenant wait to be planned, counting no further than `limit` in all."""
    rows = await connection.fetch(statement("count_backlog"), limit)
    return {row["tenant_no"]: row["jobs"] for row in rows}


def _text_array(values: Sequence[str]) -> str:
    """Return an array literal: arrays of different lengths can't be bound as one parameter."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def _int_array(values: Sequence[int]) -> str:
    """Return an array literal of integers, for the same reason."""
    return "{" + ",".join(map(str, values)) + "}"
