"""Answers that wait in memory for clients that don't read them."""

import asyncio
import fcntl
import struct
import termios
from typing import TYPE_CHECKING

from api.client_limits import BYTES_PER_SECOND

if TYPE_CHECKING:
    from api.bounded_connections import BoundedConnection

_INT = struct.Struct("i")


def bytes_left(transport: asyncio.Transport) -> int:
    """Return how many bytes the client hasn't taken: here, and in the system's buffer.

    That takes more from here only once a third of it is free, which may be long after the client took something.
    """
    in_system = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return transport.get_write_buffer_size() + int(_INT.unpack(in_system)[0])


class Unsent:
    """What a client hasn't taken of what was written for it. Times are of the event loop's clock, sizes in bytes."""

    __slots__ = ("_changed_at", "_since", "_size", "_transport", "first_size")

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        self._transport = transport
        self._since = self._changed_at = now
        self.first_size = self._size = bytes_left(self._transport)

    def is_late(self, now: float, seconds: float) -> bool:
        """Return whether the client has taken nothing for so many seconds, or less than BYTES_PER_SECOND since."""
        is_slow = now - self._since > seconds + self.first_size / BYTES_PER_SECOND
        return now - self.last_taken_at(now) > seconds or is_slow

    def last_taken_at(self, now: float) -> float:
        """Return when the client was last seen to have taken something."""
        size = bytes_left(self._transport)
        if size != self._size:
            self._size, self._changed_at = size, now
        return self._changed_at


class UnsentAnswers:
    """The clients of a process that have much to read, and the bytes that wait for all of them."""

    def __init__(self) -> None:
        self._waiting: dict[BoundedConnection, Unsent] = {}

    def add(self, connection: "BoundedConnection", unsent: Unsent, now: float, *, most_bytes: int) -> None:
        """Note that much waits for a client.

        If more than `most_bytes` wait for all, cut off those that took nothing for longest. What was written at once
        is kept as a whole until the system has taken all of it.
        """
        self._waiting[connection] = unsent
        excess = sum(each.first_size for each in self._waiting.values()) - most_bytes
        if excess <= 0:
            return
        for each in sorted(self._waiting, key=lambda each: self._waiting[each].last_taken_at(now)):
            if excess > 0:
                excess -= self._waiting.pop(each).first_size
                each.cut_off("memory_needed")

    def discard(self, connection: "BoundedConnection") -> None:
        """Note that a client took nearly all, or is gone."""
        self._waiting.pop(connection, None)
