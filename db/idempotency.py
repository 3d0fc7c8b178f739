"""Idempotency-Keys of actions: reading and keeping the first response under a key, in the transaction of the effect."""

from dataclasses import dataclass
from typing import Any

from db.engine import Connection, statement
from db.submissions import FirstResponse, keep_first_responses, lock_key


@dataclass(frozen=True, slots=True)
class ActionResponse:
    """The first request with a key, and its response. `answer` is a JSON value."""

    request: str
    body_hash: str
    status_code: int
    answer: Any


async def try_key(connection: Connection, tenant_no: int, key: str) -> bool:
    """Lock the key until the transaction ends; False if another request with it is in flight.

    Never waits. Submissions take the same lock, so a key is unique over all routes.
    """
    is_free: bool = await connection.fetchval(statement("try_submission_key"), lock_key("key", tenant_no, key))
    return is_free


async def read_first_response(
    connection: Connection, tenant_no: int, key: str, *, keep_hours: float
) -> ActionResponse | None:
    """Return the first response under a key, if it is still kept. Call it in a statement after the lock's."""
    row = await connection.fetchrow(statement("read_first_response"), tenant_no, key, keep_hours)
    return None if row is None else ActionResponse(**row)


async def keep_first_response(
    connection: Connection, tenant_no: int, key: str, first: ActionResponse, *, text: str, keep_hours: float
) -> None:
    """Keep an action's response, whose JSON is `text`, under its key; the key's lock must be held."""
    kept = FirstResponse(tenant_no, key, first.request, first.body_hash, None, first.status_code, text, None)
    taken = await keep_first_responses(connection, [kept], keep_hours=keep_hours)
    if not taken:
        raise AssertionError("a key was kept without holding its lock")
