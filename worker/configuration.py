"""The configuration that a worker serves; it follows the next at a notice, a refused claim, or a heartbeat."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from configuration.agreement import agree
from configuration.content import Configuration, read_configuration
from db.connection_failures import SchemaNotServed
from db.engine import UNAVAILABLE, Engine, connect
from db.schema import require_schema
from runtime.configured_secrets import read_secrets
from runtime.errors import SettingError
from runtime.settings import Settings
from sources.configured import ConfiguredSources
from worker.providers.configured import Providers, Serving
from worker.providers.protocol import Provider

RETRY_SECONDS = 0.5


@dataclass(slots=True)
class Served:
    """The configuration that a worker serves now, and the providers of all identities that it has served, by number.

    A call ends with the provider with which it began; a cell is answered by the identity for which it was claimed.
    """

    now: Serving
    providers: dict[int, Provider] = field(default_factory=dict)
    is_stale: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.providers.update(self.now.providers)

    def replace(self, serving: Serving) -> None:
        """Serve another configuration from now on."""
        self.now = serving
        self.providers.update(serving.providers)


class Follower:
    """Keeps `served` at the configuration in force, as long as the schema serves this release.

    `look` is awaited after each change and each notice, since work may be due: a notice also says that jobs were moved
    to the configuration that is served already. `stop` is called once a later release has migrated to a schema that
    doesn't serve this one; `mismatch` then says so.
    """

    def __init__(self, engine: Engine, served: Served, serve: Callable[[Configuration], Serving]) -> None:
        self._engine = engine
        self._served = served
        self._serve = serve
        self._one_at_a_time = asyncio.Lock()
        self.mismatch: str | None = None
        self._log = structlog.stdlib.get_logger()

    async def run(self, *, every_seconds: float, look: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
        """Follow until cancelled: at once after a notice or a refused claim, else every `every_seconds`."""
        while True:
            is_told = await self._is_told_within(every_seconds)
            try:
                if await self.follow() or is_told:
                    await look()
            except SchemaNotServed as error:
                self.mismatch = str(error)
                self._log.error("schema_not_served", detail=self.mismatch)
                stop()
                return
            except UNAVAILABLE as error:
                self._log.warning("configuration_delayed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except SettingError as error:  # a later release applied it: this worker claims nothing
                self._log.error("configuration_not_understood", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def follow(self) -> bool:
        """Serve the configuration in force; return whether it changed."""
        async with self._one_at_a_time, connect(self._engine) as connection:
            await require_schema(connection)
            known = self._served.now.configuration.number
            found = await read_configuration(connection, known_no=known)
        if found is None:
            return False
        self._served.replace(self._serve(found))
        self._log.info("configuration_followed", configuration=found.number, before=known)
        return True

    async def _is_told_within(self, seconds: float) -> bool:
        """Wait for a notice or a refused claim; return whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._served.is_stale.wait()
        except TimeoutError:
            return False
        self._served.is_stale.clear()
        return True


def serving_of(
    settings: Settings, providers: Providers, sources: ConfiguredSources, configuration: Configuration
) -> Serving:
    """Return the part of a configuration that this worker serves."""
    secrets = read_secrets(configuration.content.file)
    sources.serve(configuration, secrets)
    return providers.serve(configuration, secrets, agree(settings, configuration, secrets.reasons))
