"""Notices: what every process should learn at once. They aren't kept: a process that misses one finds out by looking.

A notice says what to look at in PostgreSQL and decides nothing, like an envelope; unlike one it reaches all processes.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import orjson

from broker.envelopes import Client

VERSION = 1
CHANNEL = "breakwater:notices"
ABOUT = ("cancelled", "pauses", "imports", "configuration", "events")
LISTEN_SECONDS = 1.0
"""How long one wait for a notice is; below the client's own time limit, which would take silence for a failure."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Look at this: `about` is `cancelled`, with the job's internal key, `pauses` or so.

    Of `imports` some are due; another `configuration` was applied; `events` were committed.
    """

    about: str
    job: int | None = None
    v: int = VERSION

    def to_bytes(self) -> bytes:
        """Return the notice as versioned JSON."""
        return orjson.dumps(self)


async def publish(client: Client, notice: Notice) -> None:
    """Publish to all that listen now; raises BrokerError where Redis is unavailable."""
    await client.publish(CHANNEL, notice.to_bytes())


async def listen(client: Client) -> AsyncGenerator[Notice, None]:
    """Yield what is published from now on; raises BrokerError when the connection breaks. Holds one connection.

    Notices of an unknown version or form are passed over, as are those that only try whether one can be published.
    """
    async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(CHANNEL)
        while True:
            message: Any = await pubsub.get_message(timeout=LISTEN_SECONDS)
            if message is not None and (notice := _notice(message["data"])):
                yield notice


def _notice(data: bytes) -> Notice | None:
    try:
        notice = Notice(**orjson.loads(data))
    except (TypeError, orjson.JSONDecodeError):
        return None
    is_known = notice.v == VERSION and notice.about in ABOUT
    return notice if is_known and (notice.about != "cancelled" or _is_key(notice.job)) else None


def _is_key(number: Any) -> bool:
    return type(number) is int and 0 < number < 2**63
