"""The lease monitor: it stops work that was cancelled or taken over."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress

from broker import notices
from broker.envelopes import BrokerError
from db import batches
from db.engine import QUICK_SECONDS, UNAVAILABLE, connect
from runtime.retrying import retry
from worker.context import Context
from worker.runner import Runner

ABOUT = ("cancelled", "pauses", "configuration")
"""The notices that every worker listens for, besides those of left batches of its kinds."""
LOOK_SECONDS = 2.0
RETRY_SECONDS = 0.5


class LeaseMonitor:
    """Checks leases every two seconds, and at once after a notice of a cancel or resume.

    `on_notice` is called after each such notice: a cancelled job leaves room, and imports may wait for its end.
    `on_left` holds the callbacks for notices that another worker leaves batches of a kind, by the notice's subject.
    `on_configuration` is called when another configuration was applied, or jobs were moved to it.
    """

    def __init__(
        self,
        context: Context,
        runners: Sequence[Runner],
        *,
        on_notice: Callable[[], None],
        on_left: Mapping[str, Callable[[], None]],
        on_configuration: Callable[[], None],
    ) -> None:
        self._context = context
        self._runners = runners
        self._on_notice = on_notice
        self._on_left = on_left
        self._on_configuration = on_configuration
        self._is_due = asyncio.Event()

    async def listen(self) -> None:
        """Listen for notices until cancelled. Without the broker leases are checked every two seconds."""
        while True:
            await retry(
                self._listen,
                on=(BrokerError,),
                delay_seconds=RETRY_SECONDS,
                log_delay=lambda error: self._context.log.warning("notices_unheard", error=str(error)),
            )

    async def _listen(self) -> None:
        async with aclosing(notices.listen(self._context.redis, (*self._on_left, *ABOUT))) as received:
            async for notice in received:
                match notice.about:
                    case about if about in self._on_left:
                        self._on_left[about]()
                    case "configuration":
                        self._on_configuration()
                    case _:
                        self._is_due.set()
                        self._on_notice()

    async def run(self) -> None:
        """Check leases until cancelled. The heartbeat reports an unavailable database."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._is_due.wait()
            self._is_due.clear()
            with suppress(*UNAVAILABLE):
                await self._look()

    async def _look(self) -> None:
        in_hand = [(runner, batch) for runner in self._runners for batch in runner.watched]
        if not in_hand:
            return
        async with connect(self._context.engine, seconds=QUICK_SECONDS) as connection:
            held = await batches.find_held_leases(connection, [batch for _, batch in in_hand])
        for runner, batch in in_hand:
            if batch.key[:3] not in held:
                runner.lose(batch)
