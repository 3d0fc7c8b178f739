"""The health of Redis: whether it answers and accepts writes, its version, and its fault in words.

A readable server may refuse writes: when it is full, a replica, or by its access rules. Only a write shows that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TimedOut

from broker import locks, notices
from broker.envelopes import GROUP, STREAM, BrokerError, Client, NotPublished

PROBE = "breakwater:{0}:probe"
NO_ENTRY = "0-1"
"""The id of an entry that never exists: acknowledging or deleting it changes nothing."""


class State(StrEnum):
    """The state of Redis."""

    AVAILABLE = "available"
    REFUSES_WRITES = "refuses_writes"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `code` is stable, `detail` is a sentence with the remedy."""

    state: State
    code: str
    detail: str


_REFUSED, _UNAVAILABLE = State.REFUSES_WRITES, State.UNAVAILABLE
_FAULTS: Mapping[str, Fault] = {
    "OOM": Fault(_REFUSED, "full", "Redis is full and its maxmemory-policy evicts nothing: give it more memory."),
    "READONLY": Fault(_REFUSED, "read_only", "This Redis is a read-only replica: connect to its primary."),
    "MASTERDOWN": Fault(_REFUSED, "read_only", "This Redis is a replica without its primary: connect to the primary."),
    "MISCONF": Fault(_REFUSED, "disk", "Redis can't save to its disk and takes no writes: see its log."),
    "NOREPLICAS": Fault(
        _REFUSED, "replicas", "Redis has fewer replicas than its min-replicas-to-write: start them or lower it."
    ),
    "WRONGTYPE": Fault(
        _REFUSED, "wrong_type", f"A key of the service (such as {STREAM}) holds something else: delete that key."
    ),
    **dict.fromkeys(
        ("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN"),
        Fault(
            _REFUSED,
            "cluster",
            "This is a node of a Redis Cluster, which isn't supported: connect to a single primary.",
        ),
    ),
    "LOADING": Fault(_UNAVAILABLE, "loading", "Redis still reads its data from disk: wait until it has."),
    "BUSY": Fault(_UNAVAILABLE, "busy", "Redis is held up by a script: see SCRIPT KILL."),
    **dict.fromkeys(
        ("NOAUTH", "WRONGPASS"),
        Fault(_UNAVAILABLE, "unauthenticated", "Redis refuses the user or the password: correct the URL."),
    ),
}
_CODES = re.compile(rf"\b({'|'.join((*_FAULTS, 'NOPERM'))})\b")
_LONGEST = 200


def describe(error: BaseException) -> Fault:
    """Return the fault that an error of Redis or of the connection means."""
    if isinstance(error, NotPublished) and error.__cause__ is not None:
        return describe(error.__cause__)
    named = _CODES.search(str(getattr(error, "status_code", None) or error))
    found = named.group() if named else ""
    if found in _FAULTS:
        return _FAULTS[found]
    said = str(error)[:_LONGEST].rstrip(".")
    if found == "NOPERM":
        detail = f"Redis forbids it ({said}): give its user the rules of docs/reference/stores.md."
        return Fault(_REFUSED, "forbidden", detail)
    if isinstance(error, TimedOut | TimeoutError):
        return Fault(_UNAVAILABLE, "timeout", "Redis doesn't answer in time.")
    if isinstance(error, NotConnected | OSError):
        return Fault(_UNAVAILABLE, "unavailable", "Redis can't be reached.")
    return Fault(_REFUSED, "refused", f"Redis refuses a command ({said}).")


async def probe(client: Client) -> None:
    """Try each kind of write that the service makes; raises the BrokerError of the first that is refused.

    Leaves an entry in a stream of its own, a lock for a millisecond, and notices that all listeners ignore.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.xadd(PROBE, {"probe": b""}, maxlen=1, approximate=False)
    pipeline.xack(STREAM, GROUP, NO_ENTRY)
    pipeline.xdel(STREAM, NO_ENTRY)
    pipeline.set(locks.COORDINATION.format(job="probe"), b"", px=1)
    for channel in (notices.CHANNEL, notices.EVENTS_CHANNEL):
        pipeline.publish(channel, notices.Notice("probe").to_bytes())
    for answer in await pipeline.execute(raise_on_error=False):
        if isinstance(answer, BrokerError):
            raise answer


async def version(client: Client) -> str:
    """Return the server's name and version; raises BrokerError if it doesn't answer.

    HELLO is allowed to every user, INFO isn't.
    """
    facts: Any = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    if not isinstance(facts, dict):  # protocol 2 answers with a flat list
        facts = dict(zip(facts[::2], facts[1::2], strict=True))
    return f"{facts[b'server'].decode()} {facts[b'version'].decode()}"
