"""The pools of connections of an API process, by what they are for: no wait in one delays what another is for."""

from collections.abc import Callable
from typing import NamedTuple

from api import download_places, downloads
from db.engine import Engine, create_engine

CONNECTIONS = 10
CONNECTIONS_OF_A_TENANT = 4
"""How many of these one tenant's reads may hold while there are API keys."""
MOST_WAITING_READS = 200
"""How many more of its reads wait: an event wakes up to 100 streams of a tenant, which then read at once."""
LOOK_UP_CONNECTIONS = 2


class Pools(NamedTuple):
    """The pools. `look_ups` are of API keys and of what they may send in a second."""

    requests: Engine
    downloads: Engine
    look_ups: Engine
    heartbeat: Engine
    probes: Engine

    async def dispose(self) -> None:
        """Close all connections."""
        for each in self:
            await each.dispose()


def open_pools(database_url: str, *, on_events: Callable[[], None]) -> Pools:
    """Return the pools, none of which connects before its first use; `on_events` as `create_engine` takes it."""
    return Pools(
        create_engine(database_url, size=CONNECTIONS, name="breakwater-api", on_events=on_events),
        create_engine(
            database_url,
            size=download_places.AT_ONCE,
            idle_seconds=downloads.IDLE_SECONDS,
            name="breakwater-api-downloads",
        ),
        create_engine(database_url, size=LOOK_UP_CONNECTIONS, name="breakwater-api-look-ups"),
        create_engine(database_url, size=1, name="breakwater-api-heartbeat"),
        create_engine(database_url, size=1, name="breakwater-api-probes"),
    )
