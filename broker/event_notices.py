"""Notices that events were committed, for their readers; their rate is limited."""

import asyncio
from contextlib import suppress

from broker import notices
from broker.envelopes import BrokerError, Client
from broker.notices import EVENTS, Notice

PAUSE_SECONDS = 0.25
"""The least time between two notices: every API receives each of them."""
PUBLISH_SECONDS = 2.0


class EventNotices:
    """Publishes for one process. A notice that can't be published is dropped: readers look each second anyway."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._is_noted = False
        self._publishing: asyncio.Task[None] | None = None

    def note(self) -> None:
        """Publish soon that events were committed; call it in the event loop, after the commit."""
        self._is_noted = True
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish())

    async def aclose(self) -> None:
        """Stop; a waiting notice is dropped."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.wait([self._publishing])

    async def _publish(self) -> None:
        while self._is_noted:
            self._is_noted = False
            with suppress(BrokerError, OSError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await notices.publish(self._client, Notice(EVENTS))
            await asyncio.sleep(PAUSE_SECONDS)
