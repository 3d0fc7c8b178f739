"""Reasons why a database that can be reached takes no writes, in words for the operator."""

from collections.abc import Mapping

import asyncpg

NOT_WRITABLE: Mapping[type[BaseException], str] = {
    asyncpg.ReadOnlySQLTransactionError: "It is read-only: a standby, or `default_transaction_read_only` is on.",
    asyncpg.DiskFullError: "Its disk is full.",
    asyncpg.InsufficientResourcesError: "It has no room left: no memory, or no connection.",
    TimeoutError: "It doesn't commit in time: a synchronous standby is gone, or its disk hangs.",
}


def write_failure_reason(error: BaseException) -> str:
    """Describe one of UNAVAILABLE, as the reason why a write failed."""
    for kind, reason in NOT_WRITABLE.items():
        if isinstance(error, kind):
            return reason
    return f"It can't be written to ({type(error).__name__})."
