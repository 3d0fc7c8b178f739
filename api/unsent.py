"""Answers that wait in memory for clients that don't read them."""

import asyncio
import fcntl
import struct
import termios
from collections import Counter
from typing import TYPE_CHECKING

from starlette.types import Scope

from api.callers import Caller
from api.client_limits import BYTES_PER_SECOND

if TYPE_CHECKING:
    from api.bounded_connections import BoundedConnection

CONNECTION = "breakwater.connection"
"""The extension of a request's scope that is its connection, by which a file in parts learns of its client's pace."""
PRESUMED_PACE = 1024 * 1024
PRESUMED_SECONDS = 1.0
"""A client counts as if it had taken so much in so many seconds before: one that has just begun isn't slow."""
_INT = struct.Struct("i")


def bytes_left(transport: asyncio.Transport) -> int:
    """Return how many bytes the client hasn't taken: here, and in the system's buffer.

    That takes more from here only once a third of it is free, which may be long after the client took something.
    """
    in_system = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return transport.get_write_buffer_size() + int(_INT.unpack(in_system)[0])


def unread_bytes(scope: Scope) -> int:
    """Return how many bytes the client of a request hasn't taken of what was written to its connection."""
    connection = _connection_of(scope)
    if connection is None or connection.transport.is_closing():
        return 0
    return bytes_left(connection.transport)


def note_part(scope: Scope, size: int) -> None:
    """Say that so many bytes of an answer in parts are written next: of the others nothing is kept here."""
    if (connection := _connection_of(scope)) is not None:
        connection.part_bytes = size


def _connection_of(scope: Scope) -> "BoundedConnection | None":
    connection: BoundedConnection | None = scope.get("extensions", {}).get(CONNECTION)
    return connection


class Unsent:
    """What a client hasn't taken of what was written for it. Times are of the event loop's clock, sizes in bytes."""

    __slots__ = ("_changed_at", "_first_size", "_since", "_size", "_transport", "kept")

    def __init__(self, transport: asyncio.Transport, now: float, part_bytes: int | None = None) -> None:
        self._transport = transport
        self._since = self._changed_at = now
        self._first_size = self._size = bytes_left(transport)
        self.kept = self._first_size if part_bytes is None else part_bytes
        """What is in memory here: all that was written at once, until the system has taken the whole of it."""

    def is_late(self, now: float, seconds: float) -> bool:
        """Return whether the client has taken nothing for so many seconds, or less than BYTES_PER_SECOND since."""
        size = bytes_left(self._transport)
        if size != self._size:
            self._size, self._changed_at = size, now
        is_slow = now - self._since > seconds + self._first_size / BYTES_PER_SECOND
        return now - self._changed_at > seconds or is_slow

    def pace(self, now: float) -> float:
        """Return the bytes that the client takes in a second; it is taken for PRESUMED_PACE until it is known."""
        taken = self._first_size - bytes_left(self._transport)
        return (PRESUMED_PACE * PRESUMED_SECONDS + taken) / (PRESUMED_SECONDS + now - self._since)


class UnsentAnswers:
    """The clients of a process that have much to read, and the bytes that wait for all of them."""

    def __init__(self) -> None:
        self._waiting: dict[BoundedConnection, Unsent] = {}

    def add(self, connection: "BoundedConnection", unsent: Unsent, now: float, *, most_bytes: int) -> None:
        """Note that much waits for a client.

        While more than `most_bytes` wait for all, cut off the slowest client of the tenant for which most waits.
        """
        self._waiting[connection] = unsent
        kept_by_tenant: Counter[int | None] = Counter()
        for each, waiting in self._waiting.items():
            kept_by_tenant[_tenant_of(each)] += waiting.kept
        while kept_by_tenant.total() > most_bytes:
            [(tenant_no, _)] = kept_by_tenant.most_common(1)
            theirs = (each for each in self._waiting if _tenant_of(each) == tenant_no)
            slowest = min(theirs, key=lambda each: self._waiting[each].pace(now))
            kept_by_tenant[tenant_no] -= self._waiting.pop(slowest).kept
            slowest.cut_off("memory_needed")

    def discard(self, connection: "BoundedConnection") -> None:
        """Note that a client took nearly all, or is gone."""
        self._waiting.pop(connection, None)


def caller_on(connection: "BoundedConnection") -> Caller | None:
    """Return the caller of the request in work; None before it is known."""
    cycle = connection.in_work
    caller: Caller | None = None if cycle is None else cycle.scope["state"].get("caller")
    return caller


def _tenant_of(connection: "BoundedConnection") -> int | None:
    caller = caller_on(connection)
    return None if caller is None else caller.tenant_no
