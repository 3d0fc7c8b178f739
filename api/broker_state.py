"""The state of Redis and of its stream, read within a deadline: callers are answered without Redis, too."""

import asyncio
from dataclasses import dataclass

from broker import envelopes, health
from broker.envelopes import BrokerError, Client, StreamState
from broker.health import Fault, State

DEADLINE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check: the server's version where it answers, and its fault, if any."""

    version: str | None
    fault: Fault | None

    @property
    def state(self) -> State:
        """The state of Redis: available, refusing writes or unavailable."""
        return self.fault.state if self.fault else State.AVAILABLE

    @property
    def detail(self) -> str | None:
        """The fault and its remedy, in words."""
        return self.fault.detail if self.fault else None


async def look(client: Client) -> StreamState | None:
    """Return the stream's state, or None if Redis doesn't answer in time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await envelopes.look(client)
    except (BrokerError, OSError):
        return None


async def check(client: Client) -> Checked:
    """Check that Redis answers and accepts every kind of write that the service makes."""
    version = None
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            version = await health.version(client)
            await health.probe(client)
    except (BrokerError, OSError) as error:
        return Checked(version, health.describe(error))
    return Checked(version, None)
