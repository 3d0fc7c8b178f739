"""Pausing and resuming, and following the pauses and configurations of other processes.

Both are read after each pause made here, at every notice, and at every heartbeat.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.actors import actor_name, read_because
from api.idempotent_actions import Action, Reply
from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import Notice
from configuration.in_force import InForceReader
from db import batches, pauses
from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Connection, Engine, connect
from db.pauses import Kind, Paused
from domain.errors import Overloaded
from domain.identities import IdentityKind
from runtime.databases import REMIND_SECONDS
from runtime.retrying import retry
from submissions.announcing import Announcer

ABOUT = ("pauses", "configuration")
START_SECONDS = 2.0
"""How long a start waits for the database; without it no job is accepted anyway."""
RETRY_DELAY_SECONDS = 0.5
NOTICE_SECONDS = 1.0


class Pauses:
    """Pauses and resumes, and keeps `in_force` up to date."""

    def __init__(
        self, engine: Engine, redis: Client, in_force: InForceReader, announcer: Announcer, *, refresh_seconds: float
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._in_force = in_force
        self._announcer = announcer
        self._refresh_seconds = refresh_seconds
        self._next_log_at = 0.0
        self._log = structlog.stdlib.get_logger()

    async def start(self) -> None:
        """Enter the configured pauses and read the pauses in force, if the database can be reached."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._in_force.read()
        except (*UNAVAILABLE, *REJECTED) as error:
            self._log_delay(error)

    async def run(self) -> None:
        """Read every `refresh_seconds` until cancelled, since notices may be lost."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self._in_force.read()
            except (*UNAVAILABLE, *REJECTED, Overloaded) as error:
                self._log_delay(error)

    async def listen(self) -> None:
        """Read at each notice until cancelled; while Redis is unavailable only heartbeats read."""
        while True:
            await retry(
                self._listen,
                on=(BrokerError, *UNAVAILABLE, *REJECTED, Overloaded),
                delay_seconds=RETRY_DELAY_SECONDS,
                log_delay=self._log_delay,
            )

    async def _listen(self) -> None:
        async with aclosing(notices.listen(self._redis, ABOUT)) as received:
            async for _ in received:
                await self._in_force.read()

    async def set_pause(
        self,
        request: Request,
        action: Action,
        target: Paused,
        *,
        is_paused: bool,
        show: Callable[[Connection], Awaitable[BaseModel]],
    ) -> Response:
        """Pause or resume a region or provider; without effect if it is in that state. `show` reads the answer.

        A resume has work announced that may start again. Raises as `read_because` and `Action.perform`.
        """
        because, who = await read_because(request), actor_name(request)
        await self._in_force.read()  # enters missing pauses

        async def unit(connection: Connection) -> tuple[bool, BaseModel]:
            changed = await pauses.set_pause(connection, target, is_paused=is_paused, who=who, reason=because.reason)
            return changed, await show(connection)

        result = await action.perform(because, unit, answer=lambda done: Reply(200, done[1]), seconds=QUICK_SECONDS)
        if result.effect is None:
            return result.response
        if result.effect[0]:
            event = f"{target.kind}_{'paused' if is_paused else 'resumed'}"
            self._log.info(event, **{target.kind.value: target.name}, who=who, reason=because.reason)
        await self._in_force.read()
        await self._notify()
        if not is_paused and (held := await self._find_held(target)) is not None:
            self._announcer.announce_batch(*held)
        return result.response

    async def _notify(self) -> None:
        """Notify the other processes; a process that misses the notice reads at its next heartbeat."""
        try:
            async with asyncio.timeout(NOTICE_SECONDS):
                await notices.publish(self._redis, Notice(about="pauses"))
        except (BrokerError, OSError) as error:
            self._log_delay(error)

    async def _find_held(self, target: Paused) -> tuple[int, int] | None:
        pools = {
            (key.name, key.region): [number]
            for key, number in self._in_force.current.configuration.identity_nos.items()
            if key.kind is IdentityKind.PROVIDER
            and target.name == (key.region if target.kind is Kind.REGION else key.name)
        }
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            return await batches.find_first_due(connection, pools)

    def _log_delay(self, error: BaseException) -> None:
        """Log the error once per `REMIND_SECONDS`: while a store is unavailable, `listen` tries twice a second."""
        if time.monotonic() >= self._next_log_at:
            self._next_log_at = time.monotonic() + REMIND_SECONDS
            self._log.warning("pauses_delayed", error=f"{type(error).__name__}: {error}")
