"""What Redis says of itself and its stream, within a bound: whoever asks is answered without it too."""

import asyncio

from broker import envelopes, health
from broker.envelopes import BrokerError, Client, StreamState

PATIENCE_SECONDS = 1.0


async def look(client: Client) -> StreamState | None:
    """Return the stream's state, or None while Redis is away."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await envelopes.look(client)
    except (BrokerError, OSError):
        return None


async def version(client: Client) -> str | None:
    """Return the server's name and version, or None while Redis is away."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await health.version(client)
    except (BrokerError, OSError):
        return None
