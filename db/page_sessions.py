"""Sessions of pages: opening and ending them, and finding the valid ones by their secrets' SHA-256."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from db.engine import Connection, Engine, connect, statement
from db.reading import Slice, columns_of, sliced
from db.tenants import limits_in
from domain.key_limits import KeyLimits

MOST_OF_OWNER = 20
"""Sessions that one key's secret, or one subject, has at once: one more ends the oldest."""

LOCK_SPACE = 0x70616765
"""The first number of the advisory locks of owners ("page")."""


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The owner of a session that was opened by an API key: the SHA-256 of the key's text."""

    secret_digest: bytes


@dataclass(frozen=True, slots=True)
class SubjectOwner:
    """The owner of a session that an identity provider vouched for, with the scopes that it gave."""

    issuer: str
    subject: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be opened: its id, which may be shown, and the SHA-256 of its secret."""

    id: str
    digest: bytes
    tenant_no: int
    owner: KeyOwner | SubjectOwner
    lifetime_seconds: float


@dataclass(frozen=True, slots=True)
class ValidSession:
    """A valid session and its owner: a key (`key_id`, `key_no`, `limits`) or a subject.

    `number_secret` seals the numbers that its tenant sees.
    """

    id: str
    tenant_no: int
    tenant: str
    scopes: frozenset[str]
    key_id: str | None
    key_no: int | None
    limits: KeyLimits
    tenant_limits: KeyLimits
    subject: str | None
    number_secret: bytes


@dataclass(frozen=True, slots=True)
class SessionRead:
    """A session as it is listed."""

    id: str
    tenant: str
    key_id: str | None
    subject: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


async def open_session(connection: Connection, new: NewSession) -> None:
    """Open a session, and delete spare ones. Sessions of one owner are opened one after the other."""
    owner: tuple[bytes | None, str | None, str | None]
    match new.owner:
        case KeyOwner(secret_digest):
            owner, scopes = (secret_digest, None, None), None
        case SubjectOwner(issuer, subject, given):
            owner, scopes = (None, issuer, subject), sorted(given)
        case _:
            assert_never(new.owner)
    await connection.execute(statement("lock_owner_of_page_sessions"), *owner, LOCK_SPACE)
    await connection.execute(statement("delete_spare_page_sessions"), *owner, MOST_OF_OWNER - 1)
    await connection.execute(
        statement("insert_page_session"), new.digest, new.id, new.tenant_no, *owner, scopes, new.lifetime_seconds
    )


async def end_session(connection: Connection, digest: bytes) -> None:
    """End a session. Safe to repeat."""
    await connection.execute(statement("delete_page_session"), digest)


async def end_session_with_id(connection: Connection, session_id: str) -> bool:
    """End the session with this id; return False if there is none."""
    return await connection.fetchval(statement("end_page_session"), session_id) is not None


async def list_sessions(engine: Engine, *, after: str | None, limit: int, idle_seconds: float) -> Slice[SessionRead]:
    """Return the sessions that haven't ended, in the order of their ids: those after `after`."""
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("list_page_sessions"), after, limit + 1, idle_seconds)
    return sliced(rows, limit, columns_of(SessionRead))


async def find_sessions(
    connection: Connection, digests: Sequence[bytes], *, idle_seconds: float, issuer: str | None
) -> dict[bytes, ValidSession]:
    """Return the valid sessions among those with these digests, and note that they are used.

    A session ends `idle_seconds` after its last use. Those of another issuer than this one aren't valid.
    """
    rows = await connection.fetch(statement("find_page_sessions"), digests, idle_seconds, issuer)
    return {
        row["digest"]: ValidSession(
            row["id"],
            row["tenant_no"],
            row["tenant"],
            frozenset(row["scopes"]),
            row["key_id"],
            row["key_no"],
            limits_in(row),
            limits_in(row, "tenant_"),
            row["subject"],
            row["number_secret"],
        )
        for row in rows
    }
