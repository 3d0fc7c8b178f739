"""What a client may use of the service: bytes, seconds and connections."""

import resource
from dataclasses import dataclass

HEADER_BYTES = 32 * 1024
"""The longest header section: its target, names and values in all. RFC 9110 asks for no less than 8,000 of a target."""
BYTES_PER_SECOND = 16 * 1024
"""The pace of a client that is never cut off: a body, or an answer, may take a second longer for so many bytes."""
UNSENT_BYTES = 16 * 1024 * 1024
"""The bytes of answers that wait in memory for their clients, of all connections together."""
MOST_CONNECTIONS = 10_000
RESERVED_DESCRIPTORS = 64
"""Descriptors that connections leave to the stores (about 20 are open), to sources of imports, and to the next ones."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a connection of a client may use, and how many there may be.

    A header section has to be complete within `receive_seconds`, and a body within as many seconds plus one for each
    BYTES_PER_SECOND. A client that takes nothing of an answer for `send_seconds`, or less than that pace, is cut off.
    """

    receive_seconds: float = 10.0
    send_seconds: float = 20.0
    connections: int = MOST_CONNECTIONS
    unsent_bytes: int = UNSENT_BYTES

    @property
    def look_seconds(self) -> float:
        """How often a connection's client is looked at."""
        return min(self.receive_seconds, self.send_seconds) / 4


def most_connections() -> int:
    """Return how many connections this process may have: fewer than it may open descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(descriptors - RESERVED_DESCRIPTORS, descriptors // 2))
