"""The client of a download, which may be slow, disconnect, or have to give way to another one."""

import asyncio
import math
import time
from collections import deque

import structlog
from fastapi import Request
from starlette.types import Receive, Scope, Send

from api.bounded_connections import refused
from api.callers import check_again
from api.unsent import note_part, unread_bytes
from db.engine import UNAVAILABLE
from domain.errors import BreakwaterError

PACE_SECONDS = 5.0
"""A client's pace is that of its last seconds: the beginning fills buffers on the way, which tells nothing of it."""
SAMPLES = 5

log = structlog.stdlib.get_logger()


class DownloadClient:
    """Takes a file in parts. It may take `page_seconds` for each; its pace is that of its last `pace_seconds`."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, tenant_no: int, page_seconds: float, pace_seconds: float
    ) -> None:
        self.tenant_no = tenant_no
        self.gives_way = False
        self._scope = scope
        self._request = Request(scope, receive)
        self._send = send
        self._page_seconds = page_seconds
        self._pace_seconds = pace_seconds
        self._sent = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES + 1)
        self._timer: asyncio.TimerHandle | None = None
        self._reason = "client_slow"
        self._deadline: asyncio.Timeout | None = None

    async def takes(self, part: bytes) -> bool:
        """Send a part of the file; return whether the client is connected, may have it, and took it in time."""
        if await self._request.is_disconnected():
            log.info("download_abandoned", reason="client_gone")
            return False
        try:
            await check_again(self._scope)
        except (BreakwaterError, *UNAVAILABLE) as error:
            log.info("download_abandoned", reason="access_ended", error=f"{type(error).__name__}: {error}")
            return False
        if not self.gives_way and await self._takes(part):
            return True
        refused["download_cut_off"] += 1
        log.warning("download_abandoned", reason=self._reason)
        return False

    async def _takes(self, part: bytes) -> bool:
        self._sent += len(part)
        note_part(self._scope, len(part))
        try:
            async with asyncio.timeout(self._page_seconds) as self._deadline:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            return False
        finally:
            self._deadline = None
        return True

    def watch(self) -> None:
        """Look from now on how much the client takes, until `leave`: what it took at once went into its buffers."""
        self._samples.append((time.monotonic(), self._taken()))
        self._timer = asyncio.get_running_loop().call_later(self._pace_seconds / SAMPLES, self.watch)

    def leave(self) -> None:
        """Look no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def pace(self) -> float:
        """Return how many bytes the client takes in a second; infinity where it took all, or its pace isn't known."""
        if len(self._samples) <= SAMPLES or not unread_bytes(self._scope):
            return math.inf
        since, before = self._samples[0]
        return (self._taken() - before) / (time.monotonic() - since)

    def give_way(self, reason: str) -> None:
        """Let the time for the file be over."""
        self.gives_way, self._reason = True, reason
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(0)

    def _taken(self) -> int:
        return self._sent - unread_bytes(self._scope)
