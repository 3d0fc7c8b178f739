"""The role of tenants' requests: what it needs, and what must not be so (docs/decisions/0041)."""

from collections.abc import Sequence

from db.engine import Connection, statement
from db.poolers import TENANT_ROLE

REMEDY = (
    f'As a user that may create roles run `CREATE ROLE {TENANT_ROLE} NOLOGIN; GRANT {TENANT_ROLE} TO "{{user}}";`, '
    "and then `breakwater migrate`."
)


async def prepare_tenant_role(connection: Connection) -> None:
    """Make the role and grant it its rights, as far as this user may; safe to repeat."""
    async with connection.transaction():
        await connection.execute(statement("prepare_tenant_role"))


async def find_faults(connection: Connection) -> Sequence[str]:
    """Return sentences that say why requests of tenants can't run as their role, or would see too much."""
    return [row["fault"] for row in await connection.fetch(statement("find_tenant_role_faults"), TENANT_ROLE)]
