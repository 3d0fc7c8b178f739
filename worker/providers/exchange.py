"""An HTTP call in progress: its progress, and its answer up to a limit."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from worker.providers.answers import Answer

ANSWER_BYTES = 4 * 2**20
REFUSAL_BYTES = 64 * 2**10
"""The most that is read of an answer that isn't 2xx."""


@dataclass(slots=True)
class Exchange:
    """The state of a call. It counts as sent once anything follows connecting; without an answer, its status is 0."""

    is_sent: bool = False
    status: int = 0
    headers: httpx2.Headers = field(default_factory=httpx2.Headers)
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Note the progress that the HTTP client reports."""
        if not event.startswith("connection."):
            self.is_sent = True

    async def receive(self, body: AsyncGenerator[bytes]) -> None:
        """Read the body up to its limit; the rest is dropped with the connection."""
        most = ANSWER_BYTES if self.answer.is_success else REFUSAL_BYTES
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                self.body += chunk
                if len(self.body) > most:
                    self.is_too_large = True
                    return

    @property
    def is_encoded(self) -> bool:
        """Whether the body is compressed, though that wasn't accepted; decompressing has no limit."""
        return self.headers.get("content-encoding", "identity").lower() not in ("", "identity")

    @property
    def is_length_known(self) -> bool:
        """Whether the answer states its length; without it, a cut answer looks complete."""
        return "content-length" in self.headers

    @property
    def is_refused(self) -> bool:
        """Whether the provider refused the call, which holds even if the rest of its answer is lost."""
        return self.status != 0 and not self.answer.is_success

    @property
    def answer(self) -> Answer:
        """The answer received so far."""
        return Answer(self.status, self.headers, b"" if self.is_encoded else bytes(self.body), datetime.now(UTC))
