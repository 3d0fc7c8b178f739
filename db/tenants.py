"""Tenants, the owners of jobs and keys. While authentication is off everything belongs to the tenant `default`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from db.engine import Connection, Engine, statement
from db.reading import Slice, columns_of, read_all, sliced
from db.tables.jobs import Tenant

DEFAULT_TENANT_NO = 1
"""The tenant `default`, made by the first migration."""


@dataclass(frozen=True, slots=True)
class TenantRead:
    """A tenant: its number, name, and when it was made."""

    tenant_no: int
    name: str
    created_at: datetime


async def create_tenant(connection: Connection, name: str) -> TenantRead | None:
    """Make a tenant with a well-formed name; None if there is one with this name."""
    row = await connection.fetchrow(statement("insert_tenant"), name)
    return None if row is None else TenantRead(**row)


async def find_tenant(connection: Connection, name: str) -> tuple[int, bytes] | None:
    """Return the number of the tenant with this name, and the secret that seals the numbers it sees."""
    row = await connection.fetchrow(statement("find_tenant"), name)
    return None if row is None else (row["tenant_no"], row["number_secret"])


async def find_unknown_tenants(connection: Connection, names: Iterable[str]) -> Sequence[str]:
    """Return those of these names that no tenant has, in order."""
    return [row["name"] for row in await connection.fetch(statement("find_unknown_tenants"), sorted(names))]


async def list_tenants(engine: Engine, *, after: int, limit: int) -> Slice[TenantRead]:
    """Return the tenants with a number above `after`, in the order in which they were made."""
    tenants = select(Tenant).where(col(Tenant.tenant_no) > after).order_by(col(Tenant.tenant_no)).limit(limit + 1)
    return sliced(await read_all(engine, tenants), limit, columns_of(TenantRead))
