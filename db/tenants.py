"""Tenants, the owners of jobs and keys. While authentication is off everything belongs to the tenant `default`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from db.engine import Connection, Engine, connect, statement
from db.reading import Slice, columns_of, sliced
from domain.key_limits import NO_LIMITS, KeyLimits

DEFAULT_TENANT_NO = 1
"""The tenant `default`, made by the first migration."""


@dataclass(frozen=True, slots=True)
class TenantRead:
    """A tenant: its number, name, limits, and when it was made."""

    tenant_no: int
    name: str
    created_at: datetime
    limits: KeyLimits


@dataclass(frozen=True, slots=True)
class ValidTenant:
    """The number and limits of a tenant, and the secret that seals the numbers it sees."""

    tenant_no: int
    limits: KeyLimits
    number_secret: bytes


async def create_tenant(connection: Connection, name: str, limits: KeyLimits = NO_LIMITS) -> TenantRead | None:
    """Make a tenant with a well-formed name; None if there is one with this name."""
    row = await connection.fetchrow(
        statement("insert_tenant"), name, limits.requests_per_second, limits.active_jobs, limits.cells_per_day
    )
    return None if row is None else _read(row)


async def set_limits(connection: Connection, name: str, limits: Mapping[str, int | None]) -> TenantRead | None:
    """Set these limits of a tenant by their names, None for no such limit, and keep its others. None without a tenant.

    Every process obeys within a second.
    """
    row = await connection.fetchrow(statement("set_tenant_limits"), name, orjson.dumps(limits).decode())
    return None if row is None else _read(row)


async def find_tenants(connection: Connection, names: Sequence[str]) -> dict[str, ValidTenant]:
    """Return those tenants that there are, by their names."""
    rows = await connection.fetch(statement("find_tenants"), names)
    return {row["name"]: ValidTenant(row["tenant_no"], limits_in(row), row["number_secret"]) for row in rows}


async def find_unknown_tenants(connection: Connection, names: Iterable[str]) -> Sequence[str]:
    """Return those of these names that no tenant has, in order."""
    return [row["name"] for row in await connection.fetch(statement("find_unknown_tenants"), sorted(names))]


async def list_tenants(engine: Engine, *, after: int, limit: int) -> Slice[TenantRead]:
    """Return the tenants with a number above `after`, in the order in which they were made."""
    async with connect(engine) as connection:
        return sliced(await connection.fetch(statement("list_tenants"), after, limit + 1), limit, _read)


def limits_in(row: Any, prefix: str = "") -> KeyLimits:
    """Return the limits in a row's columns, whose names begin with the prefix."""
    names = ("requests_per_second", "active_jobs", "cells_per_day")
    return KeyLimits(*(row[prefix + name] for name in names))


def _read(row: Any) -> TenantRead:
    read: TenantRead = columns_of(TenantRead)({**row, "limits": limits_in(row)})
    return read
