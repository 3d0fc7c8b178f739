"""A worker's context for tests that run one of its parts alone."""

from typing import Any

import structlog

from db.engine import Engine
from worker.context import Context

UNUSED: Any = None


def worker_context(engine: Engine, **members: Any) -> Context:
    """A context over one engine; what the part doesn't use is missing, unless `members` has it."""
    given: dict[str, Any] = {
        "claims": engine,
        "heartbeats": engine,
        "redis": UNUSED,
        "worker_no": 1,
        "worker_id": "a test",
        "lease_seconds": 60,
        "heartbeat_seconds": 10,
        "reconcile_seconds": 10,
        "shutdown_seconds": 10,
        "idempotency_hours": 24,
        "concurrency": 1,
        "served": UNUSED,
        "open_source": UNUSED,
        "log": structlog.stdlib.get_logger(),
    }
    return Context(engine=engine, **{**given, **members})
