"""A call over HTTP while it is under way: how far it came, and the answer, up to a bound."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from worker.providers.answers import Answer

ANSWER_BYTES = 4 * 2**20
REFUSAL_BYTES = 64 * 2**10
"""Of an answer that isn't 2xx no more is read: only its first words are kept."""


@dataclass(slots=True)
class Exchange:
    """What is known of a call. It counts as sent once there is more than connecting; unanswered, its status is 0."""

    is_sent: bool = False
    status: int = 0
    headers: httpx2.Headers = field(default_factory=httpx2.Headers)
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Hear from the client how far it is."""
        if not event.startswith("connection."):
            self.is_sent = True

    async def receive(self, body: AsyncGenerator[bytes]) -> None:
        """Read the body up to its bound; the rest of it goes with the connection."""
        most = ANSWER_BYTES if self.answer.is_success else REFUSAL_BYTES
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                self.body += chunk
                if len(self.body) > most:
                    self.is_too_large = True
                    return

    @property
    def is_encoded(self) -> bool:
        """Whether the body is packed, against what was asked; unpacking has no bound."""
        return self.headers.get("content-encoding", "identity").lower() not in ("", "identity")

    @property
    def is_length_known(self) -> bool:
        """Whether the sender said how long its answer is; without that, any end of it looks like the end."""
        return "content-length" in self.headers

    @property
    def is_refused(self) -> bool:
        """Whether the provider refused the call, which stands whatever came of the rest of its answer."""
        return self.status != 0 and not self.answer.is_success

    @property
    def answer(self) -> Answer:
        """What came so far."""
        return Answer(self.status, self.headers, b"" if self.is_encoded else bytes(self.body), datetime.now(UTC))
