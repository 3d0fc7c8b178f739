"""Submissions: the facts that decide them, the locks that put one of several equal ones first, and their ledger."""

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
"""Raised where a writer outside this protocol inserted the same job, id or key first."""

LOCK_TIMED_OUT = LockNotAvailableError
"""Raised where a statement waited too long for a writer outside this protocol, or for a table."""
NO_CELLS = CellPlan((), (), (), (), min_success_rate=1.0)
"""What is stored of a job that is counted when it is coordinated."""
OWN_LOCK_TIMEOUT = "2s"
"""For the rows that only this process writes: its other transactions hold them until they are committed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys of a look-up: an Idempotency-Key and a job id if there are any, and a content."""

    key: str | None
    id: str | None
    spec_hash: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a look-up found: the key's first response, the job with the id, the active or recent job with the spec hash.

    `previous_…` are of the last job with the spec hash that ended and isn't joined any more, without that with the id.
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

    One without `cells` is counted when it is coordinated. It was understood under `configuration_no` and may be
    answered by `identity_nos`.
    """

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
class LedgerRow:
    """One submission as the ledger keeps it."""

    job_no: int | None
    kind: str | None
    outcome: str
    reason: str
    matched_on: str | None
    status_code: int
    idempotency_key: str | None
    client: str | None
    user_agent: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class FirstResponse:
    """The first response to the `request` (method and path) that came with a key.

    A submission's is kept without its spec, and `submitted` only where it isn't the job's own; only it names a job.
    """

    key: str
    request: str
    body_hash: str
    job_no: int | None
    status_code: int
    answer: str
    submitted: str | None


def lock_key(kind: str, tenant_no: int, value: str) -> int:
    """Return the number of the advisory lock of an Idempotency-Key, an id or a spec hash of a tenant."""
    digest = blake2b(f"{kind}\0{tenant_no}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


async def look_up(
    connection: Connection,
    tenant_no: int,
    wanted: Sequence[Wanted],
    *,
    keep_hours: float,
    recent_seconds: float,
) -> list[Known]:
    """Return what is known for each, in order, from committed rows and without a lock."""
    rows = await connection.fetch(
        statement("look_up_submissions"),
        tenant_no,
        [each.key for each in wanted],
        [each.id for each in wanted],
        [each.spec_hash for each in wanted],
        keep_hours,
        recent_seconds,
    )
    return [Known(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Locked:
    """The advisory locks that a transaction got, whether the configuration stays until its end, and its time."""

    free: frozenset[int]
    is_configuration_kept: bool
    at: datetime


async def try_locks(connection: Connection, keys: Iterable[int], lock_timeout: str) -> Locked:
    """Take the advisory locks that are free, until the transaction's end, the configuration's (shared) among them.

    Never waits. A lock that isn't free decides nothing: look up again once its holder has committed. The configuration
    isn't kept while another one is being applied. Any other lock that the transaction then has to wait for raises
    LOCK_TIMED_OUT after `lock_timeout`: no transaction of this protocol is ever waited for.
    """
    row = await connection.fetchrow(
        statement("lock_submission_keys"), sorted(set(keys)), lock_timeout, CONFIGURATION_LOCK
    )
    assert row is not None  # noqa: S101 - the statement always gives one row
    return Locked(frozenset(row["free"]), row["is_configuration_kept"], row["locked_at"])


async def wait_for_own_rows(connection: Connection) -> None:
    """Let the rest of the transaction wait as long as another one of this process may take to commit."""
    await connection.execute(f"SET LOCAL lock_timeout = '{OWN_LOCK_TIMEOUT}'")


def timed_out_on_a_row(error: LOCK_TIMED_OUT) -> bool:
    """Return whether LOCK_TIMED_OUT came of a row that one submission needs, not of a table that all need.

    PostgreSQL says in which row of which relation it waited, and nothing of the kind about a table.
    """
    return getattr(error, "context", None) is not None


async def insert_jobs(connection: Connection, tenant_no: int, jobs: Sequence[NewJob]) -> dict[str, int]:
    """Store these jobs as queued, in the caller's transaction; return their keys by id.

    Raises UNIQUE_VIOLATION if one exists, and ConfigurationChanged where one was normalized under another configuration
    than that in force; the transaction must be undone then.
    """
    rows = [
        (
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
        )
        for job, cells in ((job, job.cells or NO_CELLS) for job in jobs)
    ]
    stored = await connection.fetch(statement("insert_jobs"), tenant_no, *zip(*rows, strict=True))
    if len(stored) < len(jobs):
        raise ConfigurationChanged
    return {row["id"]: row["job_no"] for row in stored}


async def insert_ledger_rows(connection: Connection, tenant_no: int, rows: Sequence[LedgerRow]) -> None:
    """Enter these submissions into the ledger, in the caller's transaction."""
    columns = zip(
        *(
            (
                row.job_no,
                row.kind,
                row.outcome,
                row.reason,
                row.matched_on,
                row.status_code,
                row.idempotency_key,
                row.client,
                row.user_agent,
                row.request_id,
            )
            for row in rows
        ),
        strict=True,
    )
    await connection.execute(statement("insert_submissions"), tenant_no, *columns)


async def keep_first_responses(
    connection: Connection, tenant_no: int, responses: Sequence[FirstResponse], *, keep_hours: float
) -> set[str]:
    """Keep these first responses under their keys; return the keys that were taken (all, if their locks were held)."""
    rows = [
        (each.key, each.request, each.body_hash, each.job_no, each.status_code, each.answer, each.submitted)
        for each in responses
    ]
    taken = await connection.fetch(
        statement("insert_idempotency_keys"), tenant_no, *zip(*rows, strict=True), keep_hours
    )
    return {row["key"] for row in taken}


async def count_submissions(connection: Connection, job_nos: Iterable[int]) -> dict[int, int]:
    """Return how often each of these jobs was submitted, from the ledger."""
    rows = await connection.fetch(statement("count_submissions"), sorted(set(job_nos)))
    return {row["job_no"]: row["times_seen"] for row in rows}


async def load_submitted_jobs(connection: Connection, job_nos: Iterable[int]) -> dict[int, SubmittedJob]:
    """Return these jobs as a matching submission shows them."""
    rows = await connection.fetch(statement("load_submitted_jobs"), sorted(set(job_nos)))
    return {row["job_no"]: SubmittedJob(*row) for row in rows}


async def count_backlog(connection: Connection, limit: int) -> int:
    """Return how many jobs wait to be planned, counting no further than `limit`."""
    count: int = await connection.fetchval(statement("count_backlog"), limit)
    return count


def _text_array(values: Sequence[str]) -> str:
    """Return the array's literal: arrays of arrays of different lengths can't be bound as one parameter."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def _int_array(values: Sequence[int]) -> str:
    """Return the array's literal, likewise."""
    return "{" + ",".join(map(str, values)) + "}"
