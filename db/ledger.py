"""The ledger of submissions: a row of each, whatever its outcome."""

from collections.abc import Sequence
from typing import NamedTuple

from db.engine import Connection, statement


class LedgerRow(NamedTuple):
    """One submission as the ledger keeps it; its members are the parameters of the statement, in their order."""

    tenant_no: int
    job_no: int | None
    kind: str | None
    outcome: str
    reason: str
    matched_on: str | None
    status_code: int
    idempotency_key: str | None
    client: str | None
    user_agent: str | None
    request_id: str
    submitted_by: str | None = None
    session_id: str | None = None


async def insert_ledger_rows(connection: Connection, rows: Sequence[LedgerRow]) -> None:
    """Enter these submissions into the ledger, in the caller's transaction."""
    await connection.execute(statement("insert_submissions"), *zip(*rows, strict=True))
