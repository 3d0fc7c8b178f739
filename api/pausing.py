"""What this API takes and refuses follows PostgreSQL: the configuration in force, and what is paused, whoever pressed.

It is read again after each press of its own, at every notice of somebody else's, and at every heartbeat.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog
from fastapi.responses import Response
from pydantic import BaseModel

from api.acting import Acting, Reply
from api.actors import Because
from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import Notice
from configuration.agreement import settle
from configuration.content import Configuration, read_configuration, registry_of
from db import batches, pauses
from db.engine import GONE, QUICK_SECONDS, REFUSED, Connection, Engine, connect, in_transaction
from db.pauses import Kind, Pause, Paused
from domain.errors import Overloaded
from domain.identities import IdentityKind
from domain.regions import Registry
from runtime.databases import REMIND_SECONDS
from runtime.errors import SettingError
from runtime.settings import Settings

ABOUT = ("pauses", "configuration")
START_SECONDS = 2.0
"""How long a start waits for the database: without it nothing is accepted anyway."""
PATIENCE_SECONDS = 0.5
NOTICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class InForce:
    """What a spec may ask for now: the registry of a configuration, with the pauses of now."""

    configuration: Configuration
    registry: Registry

    @property
    def identity_nos(self) -> list[int]:
        """The numbers of all that a job may be answered by."""
        return list(self.configuration.identity_nos.values())


class Pauses:
    """Follows the configuration in force and the pauses; `on_read` hears of both, each time they are read.

    Where nothing is committed yet, what `settings` give is.
    """

    def __init__(
        self,
        engine: Engine,
        redis: Client,
        settings: Settings,
        *,
        refresh_seconds: float,
        on_read: Callable[[InForce], None],
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._settings = settings
        self._refresh_seconds = refresh_seconds
        self._on_read = on_read
        self._now: InForce | None = None
        self._next_log_at = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.stdlib.get_logger()

    async def start(self) -> None:
        """Enter what the configuration says and follow what holds, if the database is there."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.follow()
        except (*GONE, *REFUSED) as error:
            self._log_delay(error)

    async def run(self) -> None:
        """Follow every `refresh_seconds` until cancelled: what a lost notice would have told is known by then."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self.follow()
            except (*GONE, *REFUSED, Overloaded) as error:
                self._log_delay(error)

    async def listen(self) -> None:
        """Follow at each notice until cancelled; while Redis is away the heartbeat has to do."""
        while True:
            try:
                async with aclosing(notices.listen(self._redis)) as heard:
                    async for notice in heard:
                        if notice.about in ABOUT:
                            await self.follow()
            except (BrokerError, *GONE, *REFUSED, Overloaded) as error:
                self._log_delay(error)
                await asyncio.sleep(PATIENCE_SECONDS)

    async def follow(self) -> None:
        """Read what holds, and refuse accordingly from now on."""
        await self.read()

    async def read(self) -> Mapping[Paused, Pause]:
        """Return the pauses of now: of everything configured, and perhaps of more.

        Raises Overloaded where another version applied what this one doesn't understand: it goes on showing what there
        is, and takes nothing new.
        """
        async with self._one_at_a_time:  # of two readings the later one is heard of last
            try:
                now, found = await in_transaction(self._engine, self._read, seconds=QUICK_SECONDS)
            except SettingError as error:
                if self._now is None:
                    raise
                raise Overloaded(str(error), retry_after_seconds=round(self._refresh_seconds) or 1) from error
            self._now = _with(now, found)
            self._on_read(self._now)
        return found

    async def press(
        self,
        acting: Acting,
        one: Paused,
        because: Because,
        *,
        is_paused: bool,
        who: str,
        show: Callable[[Connection], Awaitable[BaseModel]],
    ) -> tuple[Response, tuple[int, int] | None]:
        """Pause or resume something configured; nothing changes where it is so already. `show` reads the answer.

        Return the response, and (job_no, batch_no) of work that a resume lets go on and that is to be announced, or
        None. Raises as `Acting.once`.
        """
        await self.read()  # enters what isn't yet

        async def unit(connection: Connection) -> tuple[bool, BaseModel]:
            changed = await pauses.press(connection, one, is_paused=is_paused, who=who, reason=because.reason)
            return changed, await show(connection)

        acted = await acting.once(because, unit, answer=lambda done: Reply(200, done[1]), seconds=QUICK_SECONDS)
        if acted.result is None:
            return acted.response, None
        if acted.result[0]:
            event = f"{one.kind}_{'paused' if is_paused else 'resumed'}"
            self._log.info(event, **{one.kind.value: one.name}, who=who, reason=because.reason)
        await self.follow()
        await self._tell()
        return acted.response, None if is_paused else await self._find_held(one)

    async def _read(self, connection: Connection) -> tuple[InForce, Mapping[Paused, Pause]]:
        now = await self._read_configuration(connection)
        configured = pauses.configured_pauses(now.registry)
        found = await pauses.read_pauses(connection)
        if not configured.keys() <= found.keys():  # what this version brings and the one that applied it didn't
            await pauses.enter_pauses(connection, configured)
            found = await pauses.read_pauses(connection)
        return now, found

    async def _read_configuration(self, connection: Connection) -> InForce:
        if self._now is None:
            found = await settle(connection, self._settings, by=f"api on {socket.gethostname()}")
        else:
            newer = await read_configuration(connection, known_no=self._now.configuration.number)
            if newer is None:
                return self._now
            found = newer
        registry = registry_of(found.content, max_cells=self._settings.max_cells, number=found.number)
        return InForce(found, registry)

    async def _tell(self) -> None:
        """Tell the other processes; those that don't hear look by themselves at their next heartbeat."""
        try:
            async with asyncio.timeout(NOTICE_SECONDS):
                await notices.publish(self._redis, Notice(about="pauses"))
        except (BrokerError, OSError) as error:
            self._log_delay(error)

    async def _find_held(self, one: Paused) -> tuple[int, int] | None:
        if self._now is None:
            return None
        identity_nos = [
            number
            for key, number in self._now.configuration.identity_nos.items()
            if key.kind is IdentityKind.PROVIDER and one.name == (key.region if one.kind is Kind.REGION else key.name)
        ]
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            return await batches.first_due(connection, identity_nos)

    def _log_delay(self, error: BaseException) -> None:
        """Say it once per `REMIND_SECONDS`: while a store is away, `listen` tries twice a second."""
        if time.monotonic() >= self._next_log_at:
            self._next_log_at = time.monotonic() + REMIND_SECONDS
            self._log.warning("pauses_delayed", error=f"{type(error).__name__}: {error}")


def _with(now: InForce, found: Mapping[Paused, Pause]) -> InForce:
    """Return the same with these pauses."""
    paused = {one for one in pauses.configured_pauses(now.registry) if found[one].is_paused}
    registry = replace(
        now.registry,
        paused_regions=frozenset(name for kind, name in paused if kind is Kind.REGION),
        paused_providers=frozenset(name for kind, name in paused if kind is Kind.PROVIDER),
    )
    return InForce(now.configuration, registry)
