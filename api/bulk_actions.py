"""Actions over a filter: a dry run records what matches, and the action takes exactly that, each once.

A request works for a bounded time and says how much is left; a repeated one goes on. Requests that run at once share
the items: each item is claimed and recorded in the transaction that acts on it.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog
from fastapi.responses import Response
from pydantic import BaseModel

from api.actors import Because
from api.idempotent_actions import Action, Reply
from api.schemas.bulk_actions import BulkAnswer, BulkParameters, Matched
from db import audit_log, bulk_actions, counters
from db.audit_log import AuditOutcome
from db.bulk_actions import DONE, BulkAction, BulkFilter, BulkName
from db.bulk_effects import Skipped
from db.controls import Actor
from db.counters import Increment
from db.engine import Connection, connect
from domain.errors import BreakwaterError, FilterMissing, Overloaded, ParameterError, ParametersRejected
from domain.redaction import hide_secrets

MAX_MATCHED = 200_000
"""Items of one dry run: as many rows are written at once in two seconds (2026-11-30, two busy cores)."""
SECONDS_AT_ONCE = 5.0
"""How long one request acts; below the time after which clients and proxies give up."""
PAGE = 100
LOOK_AGAIN_SECONDS = 0.05
MOST_IN_LOG = 500
AS_OF_BYTES = 12
Effect = TypeVar("Effect")

log = structlog.stdlib.get_logger()


class Asked(BaseModel):
    """What a request asks for, by which a repetition under its Idempotency-Key is known; a dry run has no `as_of`."""

    filter: str
    as_of: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Bulk(Generic[Effect]):
    """An action over a filter: how its items are found, what happens to each, what that counts, and who is notified.

    `match` returns at most as many keys as it is given. `check` refuses a caller that may not go on.
    `act_together` acts on those of many items that need no notification and can share a transaction, and returns these.
    """

    name: BulkName
    match: Callable[[Connection, int], Awaitable[Sequence[int]]]
    act: Callable[[Connection, int], Awaitable[Effect | Skipped]]
    counted: Callable[[Effect], Sequence[Increment]]
    announce: Callable[[Effect], Awaitable[None]]
    check: Callable[[], Awaitable[None]]
    act_together: Callable[[Connection, Sequence[int]], Awaitable[Mapping[int, Effect]]] | None = None


def read_asked(text: str, because: Because, parameters: BulkParameters) -> Asked:
    """Return what a request with this filter asks for. Raises FilterMissing and ParametersRejected."""
    as_of, dry_run = parameters.as_of, parameters.dry_run
    if not text:
        raise FilterMissing("Name at least one parameter of the list, such as `status=queued`.")
    if dry_run and as_of is not None:
        detail = "A dry run answers with an `as_of` of its own: leave `as_of` out."
        raise ParametersRejected([ParameterError("as_of", "invalid_parameter", detail)])
    if not dry_run and as_of is None:
        detail = "Send the same filter with `?dry_run=true` first, and then the `as_of` of its answer."
        raise ParametersRejected([ParameterError("as_of", "as_of_missing", detail)])
    return Asked(filter=hide_secrets(text), as_of=as_of, reason=because.reason)


async def answer(action: Action, bulk: Bulk[Effect], asked: Asked, actor: Actor) -> Response:
    """Do what is asked. Raises as `_preview` and `_perform`."""
    wanted = BulkFilter(action.tenant_no, bulk.name, asked.filter, asked.as_of or secrets.token_hex(AS_OF_BYTES))
    if asked.as_of is None:
        return await _preview(action, wanted, bulk, asked)
    return await _perform(action, wanted, bulk, asked, actor)


async def _preview(action: Action, wanted: BulkFilter, bulk: Bulk[Effect], asked: Asked) -> Response:
    """Record what matches in one snapshot, and answer with its number and its name.

    Raises ParametersRejected for more than MAX_MATCHED, and as `Action.perform`.
    """

    async def unit(connection: Connection) -> Matched:
        numbers = await bulk.match(connection, MAX_MATCHED + 1)
        if len(numbers) > MAX_MATCHED:
            detail = f"More than {MAX_MATCHED:,} match. Narrow the filter, and act on one part after the other."
            raise ParametersRejected([ParameterError("dry_run", "too_many_matches", detail)])
        kept_until = await bulk_actions.record_matches(connection, wanted, numbers)
        return Matched(matched=len(numbers), as_of=wanted.as_of, expires_at=kept_until)

    result = await action.perform(asked, unit, answer=lambda matched: Reply(200, matched, ids=None))
    return result.response


async def _perform(action: Action, wanted: BulkFilter, bulk: Bulk[Effect], asked: Asked, actor: Actor) -> Response:
    """Act on what a dry run matched, for SECONDS_AT_ONCE at most; answer with what is done and what is left.

    Raises ParametersRejected for an `as_of` that names no dry run of this filter, and as `Action.perform`.
    """
    if (first := await action.repeated(asked)) is not None:
        return first
    begun = await action.transact(partial(_begin, action=action, wanted=wanted, actor=actor))
    await _Run(action, bulk, begun.bulk_no, time.monotonic() + SECONDS_AT_ONCE, actor.worker_no).finish()
    result = await action.perform(
        asked,
        lambda connection: bulk_actions.count_outcomes(connection, begun.bulk_no),
        answer=lambda counts: Reply(200, BulkAnswer.of(wanted.as_of, counts), ids=None),
    )
    if (counts := result.effect) is not None:
        log.info(
            "filter_acted_on",
            action=wanted.name,
            filter=wanted.text,
            as_of=wanted.as_of,
            done=counts.done,
            skipped=counts.skipped,
            left=counts.left,
            who=actor.by,
            reason=actor.reason,
        )
    return result.response


async def _begin(connection: Connection, action: Action, wanted: BulkFilter, actor: Actor) -> BulkAction:
    """Begin or go on; the audit log has an entry of each request before any item is taken."""
    begun = await bulk_actions.begin(connection, wanted, by=actor.by, reason=actor.reason)
    if begun is None:
        detail = (
            "`as_of` names no dry run of this filter, or one that has expired. Send the same filter with"
            " `?dry_run=true`, and then its `as_of`."
        )
        raise ParametersRejected([ParameterError("as_of", "as_of_invalid", detail)])
    ids = {"filter": wanted.text[:MOST_IN_LOG], "as_of": wanted.as_of, "matched": str(begun.matched)}
    await audit_log.enter(connection, [action.entry_of(AuditOutcome.DONE, 200, ids=ids)])
    return begun


@dataclass(frozen=True, slots=True)
class _Run(Generic[Effect]):
    """One request's work on the items of an action, until `deadline` (of time.monotonic)."""

    action: Action
    bulk: Bulk[Effect]
    bulk_no: int
    deadline: float
    worker_no: int

    async def finish(self) -> None:
        """Act on items until none is left or the time is over; wait for those that other requests hold."""
        while True:
            if not await self._pass() or self._is_over():
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _pass(self) -> bool:
        """Try each item that is left, once; return whether some may still be."""
        after, is_any_left = -1, False
        while page := await self._list_left(after):
            after = page[-1]
            taken = await self._take_together(page)
            for number in (each for each in page if each not in taken):
                is_any_left |= not await self._take(number)
                if self._is_over():
                    return True
            if self._is_over():
                return True
        return is_any_left

    def _is_over(self) -> bool:
        return time.monotonic() >= self.deadline

    async def _list_left(self, after: int) -> Sequence[int]:
        await self.bulk.check()
        async with connect(self.action.engine) as connection:
            return await bulk_actions.list_left(connection, self.bulk_no, after=after, limit=PAGE)

    async def _take_together(self, numbers: Sequence[int]) -> Collection[int]:
        """Act on those of these items that can share a transaction; return them."""
        act = self.bulk.act_together
        if act is None:
            return ()

        async def unit(connection: Connection) -> Collection[int]:
            effects = await act(connection, await bulk_actions.claim(connection, self.bulk_no, numbers))
            await bulk_actions.finish(connection, self.bulk_no, list(effects), DONE)
            counted = [each for effect in effects.values() for each in self.bulk.counted(effect)]
            await counters.add(connection, self.worker_no, counted)
            return effects

        try:
            return await self.action.transact(unit)
        except Overloaded:
            return ()

    async def _take(self, number: int) -> bool:
        """Act on an item and record its outcome; False if somebody holds it, or what it would change."""
        try:
            effect = await self.action.transact(partial(self._act, number=number))
        except Overloaded:
            return False
        except BreakwaterError as refused:  # its transaction was undone
            await self.action.transact(partial(self._skip, number=number, reason=refused.code))
            return True
        if effect is None:
            return False
        if not isinstance(effect, Skipped):
            await self.bulk.announce(effect)
        return True

    async def _act(self, connection: Connection, number: int) -> Effect | Skipped | None:
        if not await bulk_actions.claim(connection, self.bulk_no, [number]):
            return None
        effect = await self.bulk.act(connection, number)
        if isinstance(effect, Skipped):
            await bulk_actions.finish(connection, self.bulk_no, [number], effect.reason)
            return effect
        await bulk_actions.finish(connection, self.bulk_no, [number], DONE)
        await counters.add(connection, self.worker_no, self.bulk.counted(effect))
        return effect

    async def _skip(self, connection: Connection, number: int, reason: str) -> None:
        await bulk_actions.finish(connection, self.bulk_no, [number], reason)
