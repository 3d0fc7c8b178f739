"""Actions: each takes effect once under one Idempotency-Key, even if it is sent again.

The effect, its record, its entry in the audit log, its counters and its answer under the key are committed together,
so none is lost without the others. The same key with the same request gets the first answer again; another request is
refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
import structlog
from fastapi.responses import Response
from pydantic import BaseModel

from db import audit_log, counters, idempotency
from db.audit_log import AuditEntry, AuditOutcome
from db.controls import LOCK_TIMED_OUT, limit_lock_waits
from db.counters import Increment, increment
from db.engine import Connection, Engine, Result, in_transaction
from db.idempotency import ActionResponse
from db.kinds import StoredKind
from domain.errors import KeyInFlight, KeyReused, Overloaded
from domain.fingerprint import body_hash
from runtime.metrics import DUPLICATES_PREVENTED
from submissions.decisions import key_of_another_request

AT_ONCE = 6
"""Connections that actions may hold while they wait for locks of jobs; the remaining ones serve reads."""
AT_ONCE_OF_A_TENANT = 3
"""How many of these one tenant's actions may hold while there are API keys."""
MOST_WAITING_OF_A_TENANT = 50
"""How many more of them wait for these."""
KEY_DEADLINE_SECONDS = 1.0
RETRY_DELAY_SECONDS = 0.02
LOCK_RETRY_SECONDS = 1
Effect = TypeVar("Effect")

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an action; `kept` is the body of repeated answers, if it is another.

    `ids` name what it made, for the audit log; None if it makes no entry there.
    """

    status_code: int
    body: BaseModel
    kept: BaseModel | None = None
    ids: Mapping[str, str] | None = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActionResult(Generic[Effect]):
    """The response to an action, and its effect; None if the first response is repeated."""

    response: Response
    effect: Effect | None


@dataclass(frozen=True, slots=True)
class Action:
    """A request that changes something; `key` is its Idempotency-Key, `name` its method and path.

    It takes its `permits` in their order. `kinds` are the kinds whose jobs it may act on. `entry_of` makes its entry in
    the audit log from an outcome and a status.
    """

    engine: Engine
    permits: Sequence[AbstractAsyncContextManager[Any]]
    tenant_no: int
    key: str | None
    name: str
    request_id: str
    keep_hours: float
    worker_no: Callable[[], Awaitable[int]]
    kinds: Mapping[str, StoredKind]
    entry_of: Callable[..., AuditEntry]

    async def perform(
        self,
        body: BaseModel,
        unit: Callable[[Connection], Awaitable[Effect]],
        *,
        answer: Callable[[Effect], Reply],
        counted: Callable[[Effect], Sequence[Increment]] = lambda _: (),
        seconds: float | None = None,
    ) -> ActionResult[Effect]:
        """Run `unit` in a transaction and answer, or repeat the first answer under the key.

        `body` is the parsed body of the request, `seconds` the limit of each statement. Raises KeyReused, KeyInFlight
        if another request with the key runs for longer than KEY_DEADLINE_SECONDS, Overloaded if a row that `unit` needs
        stays locked or too many actions of the tenant wait, and the errors of `unit`.
        """
        hashed = body_hash(body.model_dump(mode="json"))
        worker_no = await self.worker_no()  # entered into the register before any transaction needs it
        deadline = time.monotonic() + KEY_DEADLINE_SECONDS

        async def attempt(connection: Connection) -> ActionResult[Effect] | None:
            await limit_lock_waits(connection)
            if not await self._has_key_to_itself(connection):
                return None
            if (first := await self._first(connection)) is not None:
                return await self._replay(connection, first, hashed, worker_no)
            effect = await unit(connection)
            await counters.add(connection, worker_no, counted(effect))
            reply = answer(effect)
            if reply.ids is not None:
                done = self.entry_of(AuditOutcome.DONE, reply.status_code, ids=reply.ids)
                await audit_log.enter(connection, [done])
            text = reply.body.model_dump_json(by_alias=True)
            kept = text if reply.kept is None else reply.kept.model_dump_json(by_alias=True)
            await self._keep(connection, ActionResponse(self.name, hashed, reply.status_code, None), kept)
            return ActionResult(_response(reply.status_code, text), effect)

        while True:
            result = await self.transact(attempt, seconds=seconds)
            if result is not None:
                return self._logged(result)
            if time.monotonic() >= deadline:
                detail = "The first request with this Idempotency-Key hasn't ended; repeat this one in a second."
                raise KeyInFlight(detail)
            await asyncio.sleep(RETRY_DELAY_SECONDS)

    async def repeated(self, body: BaseModel) -> Response | None:
        """Return the first answer under the key again if there is one: before an action that takes many transactions.

        Such an action may be done by two requests with one key at once; the answer of the first that ends is kept.
        Raises KeyReused and Overloaded.
        """
        if self.key is None:
            return None
        hashed = body_hash(body.model_dump(mode="json"))
        worker_no = await self.worker_no()

        async def look(connection: Connection) -> ActionResult[None] | None:
            first = await self._first(connection)
            return None if first is None else await self._replay(connection, first, hashed, worker_no)

        result = await self.transact(look)
        return None if result is None else self._logged(result).response

    async def transact(
        self, unit: Callable[[Connection], Awaitable[Result]], *, seconds: float | None = None
    ) -> Result:
        """Run `unit` in a transaction while holding the permits of an action; `seconds` limits each statement.

        Raises Overloaded if a row that `unit` needs stays locked or too many actions of the tenant wait.
        """
        try:
            async with AsyncExitStack() as held:
                for permit in self.permits:
                    await held.enter_async_context(permit)
                return await in_transaction(self.engine, unit, seconds=seconds)
        except LOCK_TIMED_OUT as error:
            detail = "Somebody holds what this would change for longer than it waits; nothing was changed. Try again."
            raise Overloaded(detail, retry_after_seconds=LOCK_RETRY_SECONDS) from error

    def _logged(self, result: ActionResult[Effect]) -> ActionResult[Effect]:
        if result.effect is None:
            log.info(
                "duplicate_prevented", layer="action", reason="same_key", request=self.name, request_id=self.request_id
            )
        return result

    async def _has_key_to_itself(self, connection: Connection) -> bool:
        return self.key is None or await idempotency.try_key(connection, self.tenant_no, self.key)

    async def _first(self, connection: Connection) -> ActionResponse | None:
        if self.key is None:
            return None
        return await idempotency.read_first_response(connection, self.tenant_no, self.key, keep_hours=self.keep_hours)

    async def _replay(
        self, connection: Connection, first: ActionResponse, hashed: str, worker_no: int
    ) -> ActionResult[Any]:
        if first.request != self.name:
            raise key_of_another_request(first.request)
        if first.body_hash != hashed:
            raise KeyReused("This Idempotency-Key came with another body before. Send a new key with a new request.")
        counted = increment(DUPLICATES_PREVENTED.name, 1, layer="action", reason="same_key")
        await counters.add(connection, worker_no, [counted])
        await audit_log.enter(connection, [self.entry_of(AuditOutcome.REPLAYED, first.status_code)])
        response = _response(first.status_code, orjson.dumps(first.answer).decode())
        response.headers["Idempotent-Replayed"] = "true"
        return ActionResult(response, None)

    async def _keep(self, connection: Connection, first: ActionResponse, text: str) -> None:
        if self.key is not None:
            await idempotency.keep_first_response(
                connection, self.tenant_no, self.key, first, text=text, keep_hours=self.keep_hours
            )


def _response(status_code: int, text: str) -> Response:
    return Response(text, status_code, media_type="application/json")
