"""Reading executions: a job's cells in plan order, by pages or all, and a single cell with its tries."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from db.engine import Connection, Engine, connect, statement
from db.jobs import look_up_job
from db.reading import MAX_BIGINT, PAGE_BYTES, Slice, bounded, in_snapshot, snapshot
from domain.errors import NotFound

EXECUTION_ID = re.compile(r"(\d{1,19})-(\d{1,3})-(\d{1,3})-(\d{1,3})", re.ASCII)
MAX_NO = 199
NOWHERE = -1
"""The number for a name that isn't in the job's plan; no cell has it."""
PAGE_CELLS = 200
PART_BYTES = 256 * 1024
"""The bytes of answers that are read at once of all cells, plus those of one more cell."""

RESPONSES_BYTES = 4 * 2**20
"""The bytes that are read of the answers to a cell's earlier tries, whose number has no limit."""


class CellKey(NamedTuple):
    """The place of a cell in its job's plan order."""

    region_no: int
    model_no: int
    question_no: int


FIRST = CellKey(-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Execution:
    """One planned cell. `provider` is the provider that its model names, `provider_used` the provider that answered.

    `usage` holds the answer's tokens, seconds and cost, `finish_reason` the provider's word for its end, and
    `model_used` the answering model. `retry_at` is when a failed try may be repeated, until then. It is `simulated` if
    the built-in echo answered in place of a provider.
    """

    id: str
    key: CellKey
    job_id: str
    model_id: str
    region: str
    question_id: str
    status: str
    attempts: int
    provider: str
    provider_used: str | None
    simulated: bool
    region_served: str | None
    output: str | None
    usage: Any
    finish_reason: str | None
    is_complete: bool | None
    model_used: str | None
    error_code: str | None
    error_detail: str | None
    error_retryable: bool | None
    retry_at: datetime | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that came to an end; `status` is its result, `failed` also if it was repeated.

    `response` is the whole answer, if it was JSON. The try that `ended_cell` is read from the cell's own row.
    """

    attempt_no: int
    status: str
    started_at: datetime
    finished_at: datetime
    provider_used: str
    region_served: str | None
    error_code: str | None
    error_detail: str | None
    error_retryable: bool | None
    response: Any
    ended_cell: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """The filter of a list of executions; `region` is canonical."""

    status: str | None = None
    model: str | None = None
    region: str | None = None
    question: str | None = None


class _Names(NamedTuple):
    job_no: int
    job_id: str
    model_ids: Sequence[str]
    region_ids: Sequence[str]
    question_ids: Sequence[str]
    providers: Sequence[str]


async def list_executions(
    engine: Engine, tenant_no: int, job_id: str, wanted: ExecutionFilter, *, after: CellKey, limit: int
) -> Slice[Execution]:
    """Return a job's cells in plan order that follow `after`, up to `limit` and about PAGE_BYTES.

    Raises NotFound for an unknown job.
    """
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        [names] = await _read_names(connection, tenant_no, job_no)
        rows = await connection.fetch(
            statement("list_executions"), job_no, *after, *_numbers(names, wanted), limit + 1, PAGE_BYTES
        )
    return bounded(rows, limit, lambda row: _execution(row, names))


async def read_cells(
    connection: Connection,
    tenant_no: int,
    job_no: int,
    wanted: ExecutionFilter,
    *,
    after: CellKey,
    limit: int,
    most_bytes: int,
) -> Sequence[Execution]:
    """Return the next cells of the tenant's job in plan order, on the caller's connection.

    Their answers have up to `most_bytes`, plus those of one more cell.
    """
    [names] = await _read_names(connection, tenant_no, job_no)
    rows = await connection.fetch(
        statement("list_executions"), job_no, *after, *_numbers(names, wanted), limit, most_bytes
    )
    return [_execution(dict(row), names) for row in rows]


@dataclass(slots=True)
class Cells:
    """The remaining cells of a job, from one snapshot."""

    connection: Connection
    names: _Names
    wanted: ExecutionFilter
    after: CellKey = FIRST

    async def following(self) -> Sequence[Execution]:
        """Return the next cells in plan order, up to PAGE_CELLS and about PART_BYTES; empty at the end."""
        rows = await self.connection.fetch(
            statement("list_executions"),
            self.names.job_no,
            *self.after,
            *_numbers(self.names, self.wanted),
            PAGE_CELLS,
            PART_BYTES,
        )
        cells = [_execution(dict(row), self.names) for row in rows]
        if cells:
            self.after = cells[-1].key
        return cells


@asynccontextmanager
async def all_executions(engine: Engine, tenant_no: int, job_id: str, wanted: ExecutionFilter) -> AsyncIterator[Cells]:
    """Lend all matching cells of a job, from one snapshot; raise NotFound for an unknown job.

    Takes a connection of the engine, with a snapshot, for as long.
    """
    async with snapshot(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        [names] = await _read_names(connection, tenant_no, job_no)
        yield Cells(connection, names, wanted)


async def read_execution(engine: Engine, tenant_no: int, execution_id: str) -> tuple[Execution, Sequence[Attempt]]:
    """Return a cell and its tries, oldest first, from one snapshot; raise NotFound for an unknown cell.

    The number of tries equals the cell's `attempts`.
    """
    return await in_snapshot(engine, lambda connection: read_execution_on(connection, tenant_no, execution_id))


async def read_execution_on(
    connection: Connection, tenant_no: int, execution_id: str
) -> tuple[Execution, Sequence[Attempt]]:
    """Do the same on the caller's connection, whose transaction has one snapshot or has locked the cell's job."""
    job_no, key = parse_execution_id(execution_id)
    before = CellKey(key.region_no, key.model_no, key.question_no - 1)
    names = await _read_names(connection, tenant_no, job_no)
    found = await connection.fetch(statement("list_executions"), job_no, *before, None, *key, 1, MAX_BIGINT)
    tries = await connection.fetch(statement("list_attempts"), job_no, *key, RESPONSES_BYTES)
    response = await connection.fetchval(statement("read_response"), job_no, *key)
    if not names or not found:
        raise absent_execution()
    execution = _execution(dict(found[0]), names[0])
    recorded = [Attempt(**row) for row in tries]
    return execution, [*recorded, *_last_try(execution, recorded, response)]


async def _read_names(connection: Connection, tenant_no: int, job_no: int) -> list[_Names]:
    """Return the names of the tenant's job, or nothing."""
    return [_Names(*row) for row in await connection.fetch(statement("read_execution_names"), tenant_no, job_no)]


def bytes_of(cell: Execution) -> int:
    """Return how much the cell counts on its page: the bytes of its answer."""
    return len((cell.output or "").encode()) + len((cell.error_detail or "").encode())


def _numbers(names: _Names, wanted: ExecutionFilter) -> tuple[str | None, int | None, int | None, int | None]:
    """Return the filter as the parameters of the statement."""
    return (
        wanted.status,
        number_of(names.region_ids, wanted.region),
        number_of(names.model_ids, wanted.model),
        number_of(names.question_ids, wanted.question),
    )


def number_of(names: Sequence[str], name: str | None) -> int | None:
    """Return a name's position in its job's plan, NOWHERE if it isn't there, None for None (any name)."""
    if name is None:
        return None
    return names.index(name) if name in names else NOWHERE


def _execution(row: Mapping[str, Any], names: _Names) -> Execution:
    key = CellKey(row["region_no"], row["model_no"], row["question_no"])
    resolved: dict[str, Any] = {
        "id": execution_id(row["job_no"], key),
        "key": key,
        "job_id": names.job_id,
        "model_id": names.model_ids[key.model_no],
        "region": names.region_ids[key.region_no],
        "question_id": names.question_ids[key.question_no],
        "provider": names.providers[key.model_no] if names.providers else row["provider"],
    }
    stored = {field.name: row[field.name] for field in fields(Execution) if field.name not in resolved}
    return Execution(**resolved, **stored)


def _last_try(execution: Execution, recorded: Sequence[Attempt], response: Any) -> list[Attempt]:
    """Return the try that ended the cell, from the cell's own row.

    There is none if all counted tries are recorded: the cell waits, was cancelled or given up without a call, or a
    person resolved it.
    """
    started_at, finished_at, provider_used = execution.started_at, execution.finished_at, execution.provider_used
    if execution.attempts <= len(recorded) or started_at is None or finished_at is None or provider_used is None:
        return []
    return [
        Attempt(
            attempt_no=execution.attempts,
            status=execution.status,
            started_at=started_at,
            finished_at=finished_at,
            provider_used=provider_used,
            region_served=execution.region_served,
            error_code=execution.error_code,
            error_detail=execution.error_detail,
            error_retryable=execution.error_retryable,
            response=response,
            ended_cell=True,
        )
    ]


def execution_id(job_no: int, key: CellKey) -> str:
    """Return the id by which the API shows a cell."""
    return f"{job_no}-{key.model_no}-{key.region_no}-{key.question_no}"


def parse_execution_id(text: str) -> tuple[int, CellKey]:
    """Return the keys of the job and the cell with an id; raise NotFound for an impossible id."""
    match = EXECUTION_ID.fullmatch(text)
    if match is None:
        raise absent_execution()
    job_no, model_no, region_no, question_no = map(int, match.groups())
    if job_no > MAX_BIGINT or max(model_no, region_no, question_no) > MAX_NO:
        raise absent_execution()
    return job_no, CellKey(region_no, model_no, question_no)


def absent_execution() -> NotFound:
    """Return the error for a cell that this tenant doesn't have."""
    return NotFound("There is no execution with this id.")
