"""Responses: providers' whole answers, written with the end of a try, read with a single execution."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from db.columns import columns
from db.engine import Connection, statement

STATEMENT_BYTES = 16 * 2**20
"""The bytes of responses in one statement, plus one response: far below the limit of a message to the server."""


class ResponseRow(NamedTuple):
    """The answer to a try of a cell: JSON text, and the number of bytes received."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    attempt_no: int
    size: int
    body: str


async def keep_responses(connection: Connection, rows: Sequence[ResponseRow]) -> None:
    """Write responses in the caller's transaction, which also records their tries. Safe to repeat."""
    for some in _portions(rows):
        await connection.execute(statement("insert_responses"), *columns(some, 7))


def _portions(rows: Sequence[ResponseRow]) -> Iterator[list[ResponseRow]]:
    portion: list[ResponseRow] = []
    size = 0
    for row in rows:
        portion.append(row)
        size += len(row.body)
        if size >= STATEMENT_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
