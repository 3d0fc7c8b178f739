"""Envelopes: wake-ups on a Redis stream that say "look at job J" or "look at batch B of job J".

An entry is acknowledged and deleted in one step, so the stream holds only undelivered and pending entries.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from redis import asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

VERSION = 1
STREAM = "breakwater:{0}:envelopes"  # partition 0; the braces keep a partition's keys on one node
GROUP = "workers"
FIELD = b"envelope"
TIMEOUT_SECONDS = 2.0
"""The limit for connecting, for an answer, and for a free connection: a healthy Redis needs milliseconds."""
SOURCES = ("initial", "fallback", "retry", "manual")

Client: TypeAlias = "redis.Redis"
BrokerError = RedisError


@dataclass(frozen=True, slots=True)
class Envelope:
    """A wake-up. `job` and `batch` are internal keys; `enqueued_at` is the sender's clock, seconds since the epoch."""

    job: int
    source: str
    enqueued_at: float
    batch: int | None = None
    attempt: int = 1
    traceparent: str | None = None
    v: int = VERSION

    def to_bytes(self) -> bytes:
        """Return the envelope as versioned JSON."""
        return orjson.dumps(self)


class NotPublished(BrokerError):
    """Redis rejected these envelopes; the cause has the reason."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        super().__init__(f"{len(envelopes)} refused")
        self.envelopes = envelopes

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.__cause__}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry that is pending at this consumer; `envelope` is None if its version or form is unknown."""

    entry_id: bytes
    envelope: Envelope | None


@dataclass(frozen=True, slots=True)
class StreamState:
    """How many entries the stream holds, how many of them are unread, and the age of the oldest (0 when empty)."""

    depth: int
    undelivered: int
    oldest_age_seconds: float


def connect(redis_url: str, *, connections: int = 8) -> Client:
    """Return a client; nothing connects before the first command. Where all connections are in use, a command waits.

    `valkey://` and `valkeys://` are other names for `redis://` and `rediss://`.
    """
    pool = redis.BlockingConnectionPool.from_url(
        re.sub("^valkey", "redis", redis_url),
        max_connections=connections,
        timeout=TIMEOUT_SECONDS,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),  # needs a right that few users have
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
    )
    pool.connection_class = type("Cancellable", (_Cancellable, pool.connection_class), {})
    return redis.Redis.from_pool(pool)


class _Cancellable(AbstractConnection):
    """A connection on which no cancellation is lost.

    The client sends with `asyncio.wait_for`, which on Python 3.11 swallows a cancellation in the loop iteration in
    which sending ends or fails.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        try:
            await super().send_packed_command(command, check_health)
        finally:
            if task and task.cancelling() > cancellations:
                await self.disconnect(nowait=True)  # an answer is on its way that will not be read
                raise asyncio.CancelledError


async def publish(client: Client, envelopes: Iterable[Envelope]) -> None:
    """Append these envelopes in one round trip. Raises NotPublished where some are refused; the others are appended."""
    entries = list(envelopes)
    pipeline = client.pipeline(transaction=False)
    for envelope in entries:
        pipeline.xadd(STREAM, {FIELD: envelope.to_bytes()})
    answers = await pipeline.execute(raise_on_error=False)
    rejected = [pair for pair in zip(entries, answers, strict=True) if isinstance(pair[1], BrokerError)]
    if rejected:
        raise NotPublished([envelope for envelope, _ in rejected]) from rejected[0][1]


async def reserve(client: Client, consumer: str, *, count: int, block_seconds: float) -> list[Delivery]:
    """Take up to `count` undelivered entries; wait up to `block_seconds` (under 2) for the first.

    Creates the consumer group if it is missing, from the stream's beginning.
    """
    milliseconds = max(1, int(block_seconds * 1000))
    try:
        answer = await client.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=count, block=milliseconds)
    except ResponseError as error:
        await _make_group(client, error)
        return []
    return _deliveries(_entries(answer))


async def take_over(client: Client, consumer: str, *, idle_seconds: float, count: int) -> list[Delivery]:
    """Take up to `count` entries that have been pending at a consumer for `idle_seconds`."""
    try:
        answer: Any = await client.xautoclaim(
            STREAM, GROUP, consumer, min_idle_time=int(idle_seconds * 1000), start_id="0-0", count=count
        )
    except ResponseError as error:
        await _make_group(client, error)
        return []
    return _deliveries(answer[1])


async def acknowledge(client: Client, entry_ids: Sequence[bytes]) -> None:
    """Acknowledge these entries and delete them from the stream."""
    if entry_ids:
        pipeline = client.pipeline(transaction=True)
        pipeline.xack(STREAM, GROUP, *entry_ids)
        pipeline.xdel(STREAM, *entry_ids)
        await pipeline.execute()


async def forget(client: Client, consumer: str) -> None:
    """Remove a consumer without pending entries; a consumer with some stays, so that others can take them over."""
    try:
        pending: Any = await client.xpending_range(STREAM, GROUP, "-", "+", 1, consumername=consumer)
        if not pending:
            await client.xgroup_delconsumer(STREAM, GROUP, consumer)
    except ResponseError as error:
        await _make_group(client, error)


async def look(client: Client) -> StreamState:
    """Return the stream's depth and the age of its oldest entry, by Redis' own clock."""
    pipeline = client.pipeline(transaction=False)
    pipeline.xlen(STREAM)
    pipeline.xrange(STREAM, count=1)
    pipeline.time()
    pipeline.xpending(STREAM, GROUP)
    depth, oldest, (seconds, microseconds), pending = await pipeline.execute(raise_on_error=False)
    for answer in (depth, oldest):
        if isinstance(answer, Exception):
            raise answer
    pending_count = 0 if isinstance(pending, Exception) else int(pending["pending"])
    age = seconds + microseconds / 1e6 - int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else 0.0
    return StreamState(depth=depth, undelivered=max(0, depth - pending_count), oldest_age_seconds=max(0.0, age))


async def has_answerable(client: Client) -> bool:
    """Say whether the stream holds an entry that a worker will answer: a pending or an undelivered entry.

    Entries of a removed consumer, and entries before a new group's start, are neither.
    """
    try:
        pending: Any = await client.xpending(STREAM, GROUP)
        groups: Any = await client.xinfo_groups(STREAM)
    except ResponseError as error:
        if "no such key" in str(error):
            return False
        await _make_group(client, error)
        return bool(await client.xlen(STREAM))
    if pending["pending"]:
        return True
    delivered = next(group["last-delivered-id"] for group in groups if group["name"] == GROUP.encode())
    return bool(await client.xrange(STREAM, min=b"(" + delivered, count=1))


async def _make_group(client: Client, error: ResponseError) -> None:
    if not str(error).startswith("NOGROUP"):
        raise error
    try:
        await client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as raced:
        if not str(raced).startswith("BUSYGROUP"):
            raise


def _entries(answer: Any) -> list[Any]:
    """Return the entries of an XREADGROUP answer, of either protocol version."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [entry for group in answer[STREAM.encode()] for entry in group]
    return list(answer[0][1])


def _deliveries(entries: Iterable[Any]) -> list[Delivery]:
    return [Delivery(entry_id, _envelope(fields)) for entry_id, fields in entries]


def _envelope(fields: Any) -> Envelope | None:
    try:
        envelope = Envelope(**orjson.loads(fields[FIELD]))
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return None
    is_known = envelope.v == VERSION and envelope.source in SOURCES and _is_key(envelope.job)
    return envelope if is_known and (envelope.batch is None or _is_key(envelope.batch)) else None


def _is_key(number: Any) -> bool:
    """Say whether a number can be a key in the database: an impossible key would wake workers for ever."""
    return type(number) is int and 0 < number < 2**63
