"""Notices to other processes. They aren't stored: a process that misses one finds the change by its regular look.

Like an envelope, a notice says what to look at in PostgreSQL and decides nothing; unlike an envelope, it reaches all
processes that listen for its subject.
"""

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from typing import Any

import orjson

from broker.envelopes import Client

VERSION = 1
CHANNEL = "breakwater:notices"
EVENTS_CHANNEL = "breakwater:events"
"""For notices of events alone: a busy process publishes four a second, and no worker needs them."""
EVENTS = "events"
LISTEN_SECONDS = 1.0
"""The length of one wait for a notice; below the client's time limit, which would take silence for a failure."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The subject to look at: `about` is `cancelled`, with the job's internal key, `pauses` or so.

    `configuration` means that another was applied, or jobs were moved to it, `events` that some were committed; a
    kind's own word that a worker without room left batches of it.
    """

    about: str
    job: int | None = None
    v: int = VERSION

    def to_bytes(self) -> bytes:
        """Return the notice as versioned JSON."""
        return orjson.dumps(self)


async def publish(client: Client, notice: Notice) -> None:
    """Publish to all current listeners; raises BrokerError if Redis is unavailable."""
    await client.publish(_channel_of(notice.about), notice.to_bytes())


async def listen(client: Client, about: Collection[str]) -> AsyncGenerator[Notice, None]:
    """Yield the notices about these subjects from now on; raises BrokerError when the connection breaks.

    Holds one connection. Notices of an unknown version or form are ignored, as are the probes of `health.py`.
    """
    async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(*{_channel_of(subject) for subject in about})
        while True:
            message: Any = await pubsub.get_message(timeout=LISTEN_SECONDS)
            if message is not None and (notice := _notice(message["data"], about)):
                yield notice


def _channel_of(about: str) -> str:
    return EVENTS_CHANNEL if about == EVENTS else CHANNEL


def _notice(data: bytes, about: Collection[str]) -> Notice | None:
    try:
        notice = Notice(**orjson.loads(data))
    except (TypeError, orjson.JSONDecodeError):
        return None
    is_known = notice.v == VERSION and notice.about in about
    return notice if is_known and (notice.about != "cancelled" or _is_key(notice.job)) else None


def _is_key(number: Any) -> bool:
    return type(number) is int and 0 < number < 2**63
