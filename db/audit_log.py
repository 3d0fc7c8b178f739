"""The audit log: who did what to what, when, and with which outcome. It is only added to.

It consists of the entries of actions, commands and refusals, and of the ledger of submissions.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

import orjson

from db.engine import Connection, Engine, in_transaction, statement
from db.reading import MAX_BIGINT, Slice, columns_of, sliced, snapshot
from db.tenants import find_tenants

PAGE_ENTRIES = 1_000
PLAN_FOR_VALUES = "SET LOCAL plan_cache_mode = force_custom_plan"
"""A plan for any values reads the whole log for what is long ago, or rare."""


class AuditOutcome(StrEnum):
    """The outcome of a request or command: its effect, its first answer again, or a refusal without an effect."""

    DONE = "done"
    REPLAYED = "replayed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An action, a command or a refusal, `age_seconds` ago.

    `action` is a method and a route, or a command's words; `target` the ids that it names or made. `account` is of a
    command, or of an access token; `session_id` of a page session. Of a request without a valid key, `tenant_no` is
    None and `key_id` what it claimed. A refusal has a `code`.
    """

    action: str
    target: Mapping[str, str | int] = field(default_factory=dict)
    outcome: AuditOutcome = AuditOutcome.DONE
    status_code: int | None = None
    code: str | None = None
    tenant_no: int | None = None
    key_id: str | None = None
    client: str | None = None
    account: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    age_seconds: float = 0


@dataclass(frozen=True, slots=True)
class AuditRead:
    """An entry or a submission as the log shows it; `target` is JSON text."""

    number: int
    is_submission: bool
    at: datetime
    tenant: str | None
    key_id: str | None
    client: str | None
    account: str | None
    action: str
    target: str
    outcome: str
    status_code: int | None
    code: str | None
    request_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the log is narrowed to; None stands for any value. `tenant` is a name."""

    key_id: str | None = None
    tenant: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditPlace(NamedTuple):
    """Where reading goes on, backwards: below these numbers of entries and of submissions."""

    entry_no: int = MAX_BIGINT
    submission_no: int = MAX_BIGINT

    def after(self, page: Sequence[AuditRead]) -> Self:
        """Return the place after a page that began here."""
        entries = [read.number for read in page if not read.is_submission]
        submissions = [read.number for read in page if read.is_submission]
        return type(self)(min(entries, default=self.entry_no), min(submissions, default=self.submission_no))


NEWEST = AuditPlace()
NOBODY = 0
"""The number of no tenant."""


@dataclass(slots=True)
class AuditPages:
    """The remaining pages of the log, from one snapshot."""

    connection: Connection
    wanted: AuditFilter
    tenant_no: int | None
    before: AuditPlace = NEWEST

    async def following(self) -> Sequence[AuditRead]:
        """Return the next entries, newest first; empty at the end."""
        rows = await _fetch(
            self.connection, self.wanted, tenant_no=self.tenant_no, before=self.before, limit=PAGE_ENTRIES
        )
        page = [_read(row) for row in rows]
        self.before = self.before.after(page)
        return page


async def enter(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Enter these into the log, in the caller's transaction."""
    columns = zip(
        *(
            (
                entry.tenant_no,
                entry.key_id,
                entry.client,
                entry.account,
                entry.action,
                orjson.dumps(entry.target).decode(),
                entry.outcome,
                entry.status_code,
                entry.code,
                entry.request_id,
                entry.session_id,
                entry.age_seconds,
            )
            for entry in entries
        ),
        strict=True,
    )
    await connection.execute(statement("insert_audit_entries"), *columns)


async def list_audit_log(engine: Engine, wanted: AuditFilter, *, before: AuditPlace, limit: int) -> Slice[AuditRead]:
    """Return the part of the log before a place, newest first."""

    async def unit(connection: Connection) -> Sequence[object]:
        await connection.execute(PLAN_FOR_VALUES)
        tenant_no = await _tenant_no(connection, wanted)
        return await _fetch(connection, wanted, tenant_no=tenant_no, before=before, limit=limit + 1)

    return sliced(await in_transaction(engine, unit, readonly=True), limit, _read)


@asynccontextmanager
async def whole_audit_log(engine: Engine, wanted: AuditFilter) -> AsyncIterator[AuditPages]:
    """Lend all that matches, from one snapshot."""
    async with snapshot(engine) as connection:
        await connection.execute(PLAN_FOR_VALUES)
        yield AuditPages(connection, wanted, await _tenant_no(connection, wanted))


async def _tenant_no(connection: Connection, wanted: AuditFilter) -> int | None:
    """Return the number of the tenant, for which the list is planned; NOBODY for an unknown name."""
    if wanted.tenant is None:
        return None
    found = await find_tenants(connection, [wanted.tenant])
    return found[wanted.tenant].tenant_no if found else NOBODY


async def _fetch(
    connection: Connection, wanted: AuditFilter, *, tenant_no: int | None, before: AuditPlace, limit: int
) -> Sequence[object]:
    return await connection.fetch(
        statement("list_audit_log"),
        *before,
        wanted.key_id,
        tenant_no,
        wanted.action,
        wanted.outcome,
        wanted.since,
        wanted.until,
        limit,
    )


_read = columns_of(AuditRead)
