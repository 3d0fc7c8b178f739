"""The database's roles and access rules: what tenants' requests and services need, and what must not be so.

The role of tenants' requests is of docs/decisions/0041, that of services and the rules of docs/decisions/0048.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from db.engine import Connection, statement
from db.poolers import TENANT_ROLE

SERVICE_ROLE = "breakwater_service"
"""The role of processes that don't own the tables: it sees the rows of all tenants, and changes no rule."""
MIGRATE = "breakwater migrate"
_MAY_COMPARE = "SELECT has_table_privilege('access_rules', 'SELECT')"
_SHOWN_FAULTS = 20
_LOCK_TIMEOUT = "250ms"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something amiss: a sentence, and what mends it. `leaks` if somebody may see or change more because of it."""

    sentence: str
    remedy: str
    leaks: bool

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.sentence} {self.remedy}"


async def prepare_roles(connection: Connection) -> None:
    """Make the roles and give them their rights and no others, as far as this user may; safe to repeat."""
    async with connection.transaction():
        await connection.execute(statement("prepare_tenant_role"))


async def limit_waits(connection: Connection) -> None:
    """Have the transaction's look at roles fail soon, by LockNotAvailableError, where somebody has locked a table.

    PostgreSQL opens the tables of policies to print them.
    """
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", _LOCK_TIMEOUT)


async def find_faults(connection: Connection) -> Sequence[Fault]:
    """Return why requests of tenants can't run as their role, and where somebody would see or change too much."""
    rows = await connection.fetch(statement("find_role_faults"), TENANT_ROLE, SERVICE_ROLE)
    if await connection.fetchval(_MAY_COMPARE):
        rows += await connection.fetch(statement("find_changed_rules"))
    return [Fault(row["sentence"], _remedy(row["remedy"]), row["leaks"]) for row in rows]


def describe(faults: Sequence[Fault]) -> Sequence[str]:
    """Return the faults in words, those first that leak; after some only how many more there are."""
    shown = [str(fault) for fault in sorted(faults, key=lambda fault: not fault.leaks)[:_SHOWN_FAULTS]]
    more = len(faults) - len(shown)
    return [*shown, f"{more} more such things are amiss."] if more else shown


def _remedy(sql: str | None) -> str:
    """Return what to do about a fault, by the SQL that mends it."""
    if sql is None:
        return f"Run `{MIGRATE}`."
    in_one_line = " ".join(sql.split())
    if sql.startswith("CREATE ROLE"):
        return f"Run `{in_one_line};` as a user that may create roles, and then `{MIGRATE}`."
    return f"Run what `{in_one_line};` prints." if sql.startswith("SELECT") else f"Run `{in_one_line};`."
