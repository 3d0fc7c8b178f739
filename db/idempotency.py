"""Idempotency-Keys of actions: the first answer under one, read and kept in the transaction of the action's effect."""

from dataclasses import dataclass
from typing import Any

from db.engine import Connection, statement
from db.submissions import KeptAnswer, keep_answers, lock_key


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What the first request with a key was, and what it was answered. `answer` is a JSON value."""

    request: str
    body_hash: str
    status_code: int
    answer: Any


async def try_key(connection: Connection, tenant_no: int, key: str) -> bool:
    """Make this the only request with the key until the transaction ends; False where another one is under way.

    Never waits. Submissions take the same lock, so a key is one key on all routes.
    """
    is_free: bool = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock_key("key", tenant_no, key))
    return is_free


async def read_first_answer(
    connection: Connection, tenant_no: int, key: str, *, keep_hours: float
) -> FirstAnswer | None:
    """Return the first answer under a key that is kept still. Look after the lock was taken, not in its statement."""
    row = await connection.fetchrow(statement("read_first_answer"), tenant_no, key, keep_hours)
    return None if row is None else FirstAnswer(**row)


async def keep_first_answer(
    connection: Connection, tenant_no: int, key: str, first: FirstAnswer, *, text: str, keep_hours: float
) -> None:
    """Keep an action's answer, whose JSON is `text`, under its key; the key's lock must be held."""
    kept = KeptAnswer(key, first.request, first.body_hash, None, first.status_code, text, None)
    taken = await keep_answers(connection, tenant_no, [kept], keep_hours=keep_hours)
    if not taken:
        raise AssertionError("a key was kept by somebody who didn't hold its lock")
