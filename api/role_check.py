"""Whether PostgreSQL keeps tenants apart, asked again and again while requests need keys.

Somebody may change roles, rights or policies while a process runs, or PostgreSQL may be away when it starts. No request
of a tenant is served before a check, or while one shows that somebody might see or change more than is its own.
"""

import asyncio
import math
import time
from collections.abc import Sequence

import structlog

from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Connection, Engine, in_transaction
from db.roles import Fault, describe, find_faults, limit_waits
from db.schema import require_schema
from domain.errors import RolesChanged

EVERY_SECONDS = 60.0
WHILE_AMISS_SECONDS = 2.0
"""The interval while something is amiss or nothing was checked: what is mended serves again soon."""

log = structlog.stdlib.get_logger()


class RoleCheck:
    """The last check of this process; `faults` is None before the first one."""

    def __init__(self, engine: Engine) -> None:
        self.faults: Sequence[Fault] | None = None
        self._engine = engine
        self._checking = asyncio.Lock()
        self._failed: BaseException | None = None
        self._failed_at = -math.inf

    @property
    def leaks(self) -> bool:
        """Whether the last check showed that somebody may see or change too much."""
        return bool(self.faults) and any(fault.leaks for fault in self.faults or ())

    async def require(self) -> None:
        """Raise RolesChanged while a tenant's request may see too much, or one of UNAVAILABLE if that can't be told."""
        if self.faults is None:
            await self._check_first(time.monotonic())
        if self.leaks:
            raise RolesChanged(retry_after_seconds=round(WHILE_AMISS_SECONDS))

    async def _check_first(self, came_at: float) -> None:
        """Check for all that wait, unless the first check was done meanwhile; they share its failure, too."""
        async with self._checking:
            if self.faults is not None:
                return
            if self._failed_at > came_at:
                raise ConnectionError("The database's roles can't be looked at.") from self._failed
            try:
                await self.check()
            except UNAVAILABLE as error:
                self._failed, self._failed_at = error, time.monotonic()
                raise

    async def run(self) -> None:
        """Check now and then, until cancelled. While PostgreSQL can't be asked the last check holds."""
        while True:
            try:
                await self.check()
            except (*UNAVAILABLE, *REJECTED) as error:
                log.warning("role_check_failed", error=f"{type(error).__name__}: {error}")
            is_well = self.faults is not None and not self.faults
            await asyncio.sleep(EVERY_SECONDS if is_well else WHILE_AMISS_SECONDS)

    async def check(self) -> None:
        """Look at the roles and access rules; log what has become amiss. Raises one of UNAVAILABLE or REJECTED."""
        found = await in_transaction(self._engine, _look, seconds=QUICK_SECONDS, readonly=True)
        if found and found != self.faults:
            if any(fault.leaks for fault in found):
                log.error("roles_changed", faults=describe(found))
            else:
                log.error("rights_missing", faults=describe(found))
        elif self.faults and not found:
            log.info("roles_mended")
        self.faults = found


async def _look(connection: Connection) -> Sequence[Fault]:
    await limit_waits(connection)
    await require_schema(connection)
    return await find_faults(connection)
