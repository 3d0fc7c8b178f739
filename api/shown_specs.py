"""Specs as they are shown: their secrets are hidden, of a large one in a thread, since a hostile text takes long."""

import asyncio
from typing import Any

import orjson

from api.large_pages import LargePages
from api.schemas.jobs import Job
from db.jobs import JobRead
from domain.redaction import redacted_alike

LARGE_BYTES = 64 * 1024
"""Up to so much takes 9 ms at worst (2026-11-30)."""


async def with_spec(shown: Job, job: JobRead, places: LargePages, tenant_no: int) -> Job:
    """Return a job with its spec, and its body as it was submitted, without secrets.

    Large ones are searched one at a time, tenants in turn. Raises Overloaded if there is no place in time.
    """
    if len(orjson.dumps([job.spec, job.submitted])) <= LARGE_BYTES:
        return _with_spec(shown, job)
    async with places.place(tenant_no):
        return await asyncio.to_thread(_with_spec, shown, job)


def _with_spec(shown: Job, job: JobRead) -> Job:
    # The body again: a release before may have hidden less of it.
    spec, submitted = redacted_alike(job.spec, job.submitted)
    hidden: dict[str, Any] = {"spec": spec, "submitted": submitted}
    return shown.model_copy(update=hidden)
