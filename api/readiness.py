"""Whether the stores serve: PostgreSQL and its schema, and Redis, as probes ask it; anybody may, and often."""

import asyncio
from functools import partial
from typing import NamedTuple

from api import broker_state
from api.broker_state import Checked
from api.shared_looks import SharedLook
from broker.envelopes import Client
from db.engine import UNAVAILABLE, Engine, connect
from db.schema import Schema, read_schema

FRESH_SECONDS = 1.0
DEADLINE_SECONDS = 2.0


class DatabaseState(NamedTuple):
    """The version and the schema of PostgreSQL."""

    version: str
    schema: Schema


class Stores(NamedTuple):
    """The state of both stores; `database` is None while PostgreSQL is unavailable, and was seen so long ago."""

    database: DatabaseState | None
    broker: Checked
    age_seconds: float


class Readiness:
    """Looks at PostgreSQL once a second at most, on the one connection of `engine`; at Redis once at a time."""

    def __init__(self, engine: Engine, broker: Client) -> None:
        self._look_at_database = SharedLook(partial(_look, engine), fresh_seconds=FRESH_SECONDS)
        self._look_at_broker = SharedLook(partial(broker_state.check, broker))

    async def look(self) -> Stores:
        """Return the state of the stores."""
        database, broker = await asyncio.gather(self._look_at_database(), self._look_at_broker())
        return Stores(database.found, broker.found, database.age_seconds)


async def _look(engine: Engine) -> DatabaseState | None:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), connect(engine) as connection:
            version: str = await connection.fetchval("SHOW server_version")
            return DatabaseState(version, await read_schema(connection))
    except UNAVAILABLE:
        return None
