"""Normalized specs as stored."""

from collections.abc import Mapping, Sequence
from typing import Any

from db.engine import Connection, statement


async def load_specs(connection: Connection, job_nos: Sequence[int]) -> Mapping[int, Mapping[str, Any]]:
    """Return the normalized specs of these jobs as JSON objects; unknown jobs and purged specs are absent."""
    rows = await connection.fetch(statement("list_specs"), job_nos)
    return {row["job_no"]: row["spec"] for row in rows}
