"""Errors of a PostgreSQL driver as errors of sources: the connection, the event, and the remedy.

The server's words may show values, so only its code and the condition's name are given. Those of a pooler, which knows
no rows, and of the connection string are given as they are.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from db.poolers import NO_TRANSACTIONS
from domain.postgres_url import WrongConnectionString
from sources.errors import (
    KeyUnusable,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Unreadable,
)

STARTUP_PARAMETER = (
    "The pooler takes no such parameter at the start of a session: remove `options` from the connection's URL, or add "
    "it to the pooler's ignore_startup_parameters."
)
_POOLER_WORDS = 200


@contextmanager
def connecting() -> Iterator[None]:
    """Around connecting alone: a host that doesn't answer there is unavailable, it isn't slow."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
            raise _NoAnswer from error
        raise


class _NoAnswer(Exception):
    """A new connection got no answer within its limit."""


def explained(error: Exception) -> tuple[type[SourceError], str] | None:
    """Return the source error for a driver's error, and its sentence; None for any other error."""
    if isinstance(error, WrongConnectionString):
        return SourceRefused, f"its URL can't be used: {error}"
    if "statement pooling" in str(error):  # the driver's last words of a session that the pooler has ended
        return SourceRefused, NO_TRANSACTIONS
    if isinstance(error, asyncpg.ProtocolViolationError):
        return _explained_by_pooler(str(error))
    for kinds, kind, happened, remedy in _KNOWN:
        if isinstance(error, kinds):
            return kind, f"{happened} ({_condition(error)}): {remedy}."
    return None


def _explained_by_pooler(words: str) -> tuple[type[SourceError], str]:
    if "startup parameter" in words:
        return SourceRefused, STARTUP_PARAMETER
    return SourceUnavailable, f'the pooler before the source says "{words[:_POOLER_WORDS]}" (08P01).'


def _condition(error: Exception) -> str:
    """Return the code and the name of the condition: `22012, division by zero`."""
    name = type(error.__cause__ if type(error) is ConnectionError and error.__cause__ else error).__name__
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("Error")).lower()
    code = getattr(error, "sqlstate", None)
    return f"{code}, {words}" if code else words


# The first match counts: kinds, error, event, remedy.
_KNOWN: Sequence[tuple[tuple[type[Exception], ...], type[SourceError], str, str]] = (
    (
        (_NoAnswer,),
        SourceUnavailable,
        "the source can't be reached",
        "no answer to connecting within the limit",
    ),
    (
        (asyncpg.QueryCanceledError, TimeoutError),
        SourceTimeout,
        "the source gave no answer within the limit",
        "an index that begins with the key's columns or a lower policy.batch_size makes reading quicker",
    ),
    (
        (asyncpg.UndefinedFunctionError,),
        KeyUnusable,
        "the key has a column whose type has no order",
        "choose another key",
    ),
    (
        (asyncpg.InvalidAuthorizationSpecificationError,),
        SourceRefused,
        "the source refused the account",
        "correct user and password in its URL",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        SourceRefused,
        "the source has no such database",
        "correct the database's name in its URL",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        SourceRefused,
        "its account may not read the table or what a view reads",
        "grant it SELECT, and BYPASSRLS where row-level security would hide rows",
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        Unreadable,
        "what was asked for tries to write, and sources are read only",
        "import a table or view that writes nothing",
    ),
    (
        (
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedColumnError,
            asyncpg.UndefinedObjectError,
            asyncpg.InvalidTextRepresentationError,
            asyncpg.InvalidCachedStatementError,
        ),
        SourceChanged,
        "the table is no longer what was surveyed",
        "start the import again",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        SourceUnavailable,
        "the source has no room for another session",
        "let it, or its account, open more; a worker opens 8 at most",
    ),
    (
        (
            asyncpg.PostgresConnectionError,
            asyncpg.InternalClientError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.TransactionRollbackError,
            asyncpg.IdleInTransactionSessionTimeoutError,
            asyncpg.ObjectInUseError,
            asyncpg.LockNotAvailableError,
            asyncpg.InterfaceError,
            OSError,
        ),
        SourceUnavailable,
        "the source is away or in trouble",
        "it is tried again; see whether the server runs and takes connections",
    ),
    (
        (asyncpg.PostgresError, UnicodeDecodeError),
        Unreadable,
        "the source can't give these rows",
        "select all of the table or view with its account to see why",
    ),
)
