"""Refusals in the audit log: entered in groups, soon after they were answered, and no more than a bound in each second.

Every refusal (4xx) of a request that would change something is entered, but for submissions that have a ledger row. Of
requests that only read, those are entered that their caller may not make: 401, 403, 421, 429, and, where there are API
keys, 404, which is the answer about another tenant's things too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

import orjson
import structlog
from starlette.types import Scope

from api.auditing import entry_of
from db import audit_log, counters
from db.audit_log import AuditEntry, AuditOutcome
from db.counters import increment
from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Connection, Engine, in_transaction
from runtime.metrics import AUDIT_ENTRIES_DROPPED

PERIOD_SECONDS = 1.0
GROUP = 50
"""Entries of a period: whatever is refused, a process adds some 40 MB an hour to the log at most."""
MOST_WAITING = 1_000
MOST_WAITING_WITHOUT_KEY = 30
"""How many without a valid key may wait: these can be sent by anybody."""
MOST_WAITING_OF_A_TENANT = 300
MOST_WAITING_OF_A_KEY = 100
"""How many of one key, or of one subject of access tokens, may wait: it must not crowd out what others are refused."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
NOT_ALLOWED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
NO_SUCH_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
CLIENT_ERRORS = range(400, 499)
"""But for 499, which isn't sent."""
IN_LEDGER = "is_in_ledger"
"""The member of a request's state that says that its refusal is a row of the ledger of submissions."""

log = structlog.stdlib.get_logger()


class _Noted(NamedTuple):
    entry: AuditEntry
    at: float


_Sender: TypeAlias = tuple[str, int | None, str | None]


def _senders(entry: AuditEntry) -> tuple[_Sender, _Sender]:
    """Return the tenant of a refusal, and its key or subject, as what is counted."""
    return ("tenant", entry.tenant_no, None), ("sender", entry.tenant_no, entry.key_id or entry.account)


def note_refusal(scope: Scope, status_code: int, problem: bytes) -> None:
    """Enter a refused request into the log of the app that answered it, if it has one."""
    services = getattr(scope["app"].state, "services", None)
    if services is not None:
        services.refusal_log.note(scope, status_code, problem)


class RefusalLog:
    """Enters refusals; with `is_keyed` also those of requests for what isn't there."""

    def __init__(self, engine: Engine, *, worker_no: Callable[[], Awaitable[int]], is_keyed: bool) -> None:
        self._engine = engine
        self._worker_no = worker_no
        self._is_keyed = is_keyed
        self._waiting: list[_Noted] = []
        self._waiting_of: Counter[_Sender] = Counter()
        self._dropped = 0
        self._arrived = asyncio.Event()

    def note(self, scope: Scope, status_code: int, problem: bytes) -> None:
        """Enter a refused request soon, if it is one that is entered; `problem` is the answer's body."""
        if not self._is_entered(scope, status_code):
            return
        entry = entry_of(scope, AuditOutcome.REFUSED, status_code, code=orjson.loads(problem)["code"])
        if self._has_room(entry):
            self._waiting.append(_Noted(entry, time.monotonic()))
            self._waiting_of.update(_senders(entry))
        else:
            self._dropped += 1
        self._arrived.set()

    async def run(self) -> None:
        """Enter groups until cancelled, one a second."""
        while True:
            await self._arrived.wait()
            await self.enter()
            await asyncio.sleep(PERIOD_SECONDS)

    async def close(self) -> None:
        """Enter what still waits, unless the database is unavailable."""
        while (self._waiting or self._dropped) and await self.enter():
            pass

    async def enter(self) -> bool:
        """Enter what waits, at most a group; return False if nothing was done: then everything waits on."""
        group, dropped = self._waiting[:GROUP], self._dropped
        try:
            await self._enter(group, dropped)
        except UNAVAILABLE as error:
            log.warning("audit_entries_delayed", entries=len(self._waiting), error=f"{type(error).__name__}: {error}")
            return False
        except REJECTED:
            log.exception("audit_entries_refused", entries=len(group))
            self._dropped += len(group)
            self._remove(group)
            return bool(group)
        self._dropped -= dropped
        self._remove(group)
        if not self._waiting and not self._dropped:
            self._arrived.clear()
        return True

    def _has_room(self, entry: AuditEntry) -> bool:
        tenant, sender = _senders(entry)
        of_tenant = MOST_WAITING_WITHOUT_KEY if entry.tenant_no is None else MOST_WAITING_OF_A_TENANT
        return (
            len(self._waiting) < MOST_WAITING
            and self._waiting_of[tenant] < of_tenant
            and self._waiting_of[sender] < MOST_WAITING_OF_A_KEY
        )

    def _remove(self, group: list[_Noted]) -> None:
        del self._waiting[: len(group)]
        for noted in group:
            self._waiting_of.subtract(_senders(noted.entry))
        self._waiting_of = +self._waiting_of  # without those of whom nothing waits

    async def _enter(self, group: list[_Noted], dropped: int) -> None:
        worker_no = await self._worker_no()
        counted = [increment(AUDIT_ENTRIES_DROPPED.name, dropped)] if dropped else []

        async def unit(connection: Connection) -> None:
            if group:
                now = time.monotonic()
                aged = [replace(noted.entry, age_seconds=now - noted.at) for noted in group]
                await audit_log.enter(connection, aged)
            await counters.add(connection, worker_no, counted)

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)
        if dropped:
            log.warning("audit_entries_dropped", entries=dropped)

    def _is_entered(self, scope: Scope, status_code: int) -> bool:
        if status_code not in CLIENT_ERRORS or scope["state"].get(IN_LEDGER):
            return False
        route = scope.get("route")
        if route is None:
            is_operation = status_code not in NO_SUCH_ROUTE
        else:
            is_operation = scope["method"] in getattr(route, "methods", ())
        if not is_operation or scope["method"] not in READING:
            return is_operation
        return status_code in NOT_ALLOWED or (status_code == HTTPStatus.NOT_FOUND and self._is_keyed)
