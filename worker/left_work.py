"""Announcing due work that this worker leaves for lack of room.

Errors of the broker are ignored: while it is unavailable the other workers poll PostgreSQL.
"""

import asyncio
import time
from contextlib import suppress

from broker import envelopes, notices
from broker.envelopes import BrokerError, Envelope
from broker.health import describe
from broker.notices import Notice
from worker.context import Context

PUBLISH_SECONDS = 0.5
"""The time limit for publishing, so that a silent Redis doesn't delay claims."""


async def publish_envelope(context: Context, job_no: int, batch_no: int) -> None:
    """Publish an envelope for a batch: its reader looks, and publishes another if it has no room, either."""
    envelope = Envelope(job=job_no, batch=batch_no, source="initial", enqueued_at=time.time())
    try:
        async with asyncio.timeout(PUBLISH_SECONDS):
            await envelopes.publish(context.redis, [envelope])
    except (BrokerError, TimeoutError) as error:
        context.log.warning("announcement_delayed", error=str(error), code=describe(error).code)


async def publish_notice(context: Context, about: str) -> None:
    """Publish a notice, which reaches every worker: for work for which not every worker has room."""
    with suppress(BrokerError, TimeoutError):
        async with asyncio.timeout(PUBLISH_SECONDS):
            await notices.publish(context.redis, Notice(about))
