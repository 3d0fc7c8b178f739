"""The configuration in force with its current pauses, read from PostgreSQL."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from configuration.agreement import join_in
from configuration.content import Configuration, read_configuration, registry_of
from db import pauses
from db.engine import QUICK_SECONDS, Connection, Engine, in_transaction
from db.pauses import Kind, Pause, Paused
from domain.errors import Overloaded
from domain.registry import Registry
from runtime.errors import SettingError
from runtime.settings import Settings

NO_TENANT = ""
"""The name of no tenant; it stands for all that the configuration doesn't name."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration, and its registry with the current pauses: the whole, and as tenants see it."""

    configuration: Configuration
    registry: Registry
    _by_tenant: dict[str, Registry] = field(default_factory=dict, init=False, repr=False, compare=False)

    def registry_for(self, tenant: str) -> Registry:
        """Return the registry as if what isn't for this tenant weren't configured."""
        named = self.configuration.named_tenants
        if not named:
            return self.registry
        known_as = tenant if tenant in named else NO_TENANT  # to whom nothing is restricted they are all alike
        found = self._by_tenant.get(known_as)
        if found is None:
            found = self._by_tenant[known_as] = self._registry_for(known_as)
        return found

    def _registry_for(self, tenant: str) -> Registry:
        whole = self.registry
        seen = registry_of(
            self.configuration.content, max_cells=whole.max_cells, number=whole.configuration_no, tenant=tenant
        )
        return replace(seen, paused_regions=whole.paused_regions, paused_providers=whole.paused_providers)


class InForceReader:
    """Reads the configuration in force and the pauses, one reading at a time, and keeps the last result.

    If none is committed, it commits the configuration of `settings` in the name of `by`. `on_read` gets each result.
    """

    def __init__(
        self, engine: Engine, settings: Settings, *, by: str, on_read: Callable[[InForce], None] = lambda _: None
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._by = by
        self._on_read = on_read
        self._lock = asyncio.Lock()
        self.last: InForce | None = None

    @property
    def current(self) -> InForce:
        """The last reading; raises ConnectionError until there is one."""
        if self.last is None:
            raise ConnectionError("the configuration has not been read yet")
        return self.last

    async def follow(self) -> InForce:
        """Read the configuration in force and the pauses, and return them."""
        await self.read()
        return self.current

    async def read(self) -> Mapping[Paused, Pause]:
        """Return the current pauses: of everything configured, and perhaps of more.

        Raises Overloaded if this version doesn't understand the configuration of another one: the last reading is still
        shown, and no new job is accepted.
        """
        async with self._lock:  # of two readings the later is kept
            try:
                in_force, found = await in_transaction(self._engine, self._read, seconds=QUICK_SECONDS)
            except SettingError as error:
                if self.last is None:
                    raise
                seconds = round(self._settings.heartbeat_seconds) or 1
                raise Overloaded(str(error), retry_after_seconds=seconds) from error
            self.last = _with_pauses(in_force, found)
            self._on_read(self.last)
        return found

    async def _read(self, connection: Connection) -> tuple[InForce, Mapping[Paused, Pause]]:
        in_force = await self._read_configuration(connection)
        configured = pauses.configured_pauses(in_force.registry)
        found = await pauses.read_pauses(connection)
        if not configured.keys() <= found.keys():  # defaults that the applying version didn't have
            await pauses.enter_pauses(connection, configured)
            found = await pauses.read_pauses(connection)
        return in_force, found

    async def _read_configuration(self, connection: Connection) -> InForce:
        if self.last is None:
            found = await join_in(connection, self._settings, by=self._by)
        else:
            newer = await read_configuration(connection, known_no=self.last.configuration.number)
            if newer is None:
                return self.last
            found = newer
        registry = registry_of(found.content, max_cells=self._settings.max_cells, number=found.number)
        return InForce(found, registry)


def _with_pauses(in_force: InForce, found: Mapping[Paused, Pause]) -> InForce:
    """Return the same with these pauses."""
    paused = {each for each in pauses.configured_pauses(in_force.registry) if found[each].is_paused}
    registry = replace(
        in_force.registry,
        paused_regions=frozenset(name for kind, name in paused if kind is Kind.REGION),
        paused_providers=frozenset(name for kind, name in paused if kind is Kind.PROVIDER),
    )
    return InForce(in_force.configuration, registry)
