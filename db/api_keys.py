"""API keys: making, listing, rotating and revoking them, and finding the valid ones by their texts' SHA-256."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.engine import Connection, Engine, connect, statement
from db.reading import Slice, columns_of, sliced
from db.tenants import limits_in
from domain.api_keys import SECRET_BYTES, ApiKey, make_id, make_key
from domain.key_limits import KeyLimits
from domain.scopes import Scope


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made, of the tenant with this name; it expires after `expires_in_seconds`, if given."""

    tenant: str
    name: str
    scopes: Sequence[Scope]
    limits: KeyLimits
    expires_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class KeyRead:
    """A key as it is listed, without its secrets."""

    key_no: int
    id: str
    tenant: str
    name: str
    scopes: Sequence[str]
    limits: KeyLimits
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ValidKey:
    """A valid key and its owner; it stays valid for `valid_seconds` (None: until it is revoked).

    `number_secret` seals the numbers that its tenant sees.
    """

    key_no: int
    id: str
    tenant_no: int
    tenant: str
    scopes: frozenset[str]
    limits: KeyLimits
    tenant_limits: KeyLimits
    valid_seconds: float | None
    number_secret: bytes


async def create_key(connection: Connection, new: NewKey, *, by: str) -> tuple[KeyRead, ApiKey] | None:
    """Make a key; return it as it is listed, and its text, which can't be read again. None without such a tenant."""
    key = make_key(make_id(secrets.randbits(128)), secrets.token_bytes(SECRET_BYTES))
    row = await connection.fetchrow(
        statement("insert_api_key"),
        key.id,
        new.tenant,
        key.digest,
        new.name,
        list(new.scopes),
        new.limits.requests_per_second,
        new.limits.active_jobs,
        new.limits.cells_per_day,
        by,
        new.expires_in_seconds,
    )
    return None if row is None else (_read(row), key)


async def list_keys(engine: Engine, *, before: int | None, limit: int) -> Slice[KeyRead]:
    """Return keys, newest first: those made before the key with the number `before`."""
    async with connect(engine) as connection:
        return sliced(await connection.fetch(statement("list_api_keys"), before, limit + 1, None), limit, _read)


async def rotate_key(connection: Connection, key_id: str, *, overlap_seconds: float) -> tuple[KeyRead, ApiKey] | None:
    """Give a key another secret, and return both as `create_key` does. None without such a valid key.

    The secrets before it expire in `overlap_seconds`, unless they do earlier. Locks the key.
    """
    key = make_key(key_id, secrets.token_bytes(SECRET_BYTES))
    key_no = await connection.fetchval(statement("lock_api_key"), key_id)
    if key_no is None:
        return None
    await connection.execute(statement("rotate_api_key"), key_no, key.digest, overlap_seconds)
    read = await _read_key(connection, key_id)
    return None if read is None else (read, key)


async def revoke_key(connection: Connection, key_id: str, *, by: str) -> KeyRead | None:
    """Revoke a key for good, and return it; None without such a key. Safe to repeat."""
    await connection.execute(statement("revoke_api_key"), key_id, by)
    return await _read_key(connection, key_id)


async def find_keys(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, ValidKey]:
    """Return the valid keys among those with these digests."""
    rows = await connection.fetch(statement("find_api_keys"), digests)
    return {
        row["digest"]: ValidKey(
            row["key_no"],
            row["id"],
            row["tenant_no"],
            row["tenant"],
            frozenset(row["scopes"]),
            limits_in(row),
            limits_in(row, "tenant_"),
            row["valid_seconds"],
            row["number_secret"],
        )
        for row in rows
    }


async def note_uses(connection: Connection, key_nos: Sequence[int]) -> None:
    """Note that these keys were used just now."""
    await connection.execute(statement("note_uses_of_api_keys"), sorted(key_nos))


async def _read_key(connection: Connection, key_id: str) -> KeyRead | None:
    row = await connection.fetchrow(statement("list_api_keys"), None, 1, key_id)
    return None if row is None else _read(row)


def _read(row: Any) -> KeyRead:
    read: KeyRead = columns_of(KeyRead)({**row, "limits": limits_in(row)})
    return read
