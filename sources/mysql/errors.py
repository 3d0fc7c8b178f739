"""Errors of a MySQL server and its driver as errors of sources: the connection, the event, and the remedy.

The server's words may show values, so only its code and the condition's name are given.
"""

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pymysql
from pymysql.constants import CR, ER

from sources.errors import (
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Unreadable,
)

READ_ONLY_TRANSACTION = 1792
CLIENT_CODES = range(CR.CR_ERROR_FIRST, CR.CR_ERROR_LAST + 1)
"""Codes of the driver itself: the server didn't answer."""
_NAME_BY_CODE = {
    code: name for names in (ER, CR) for name, code in vars(names).items() if isinstance(code, int)
}  # fmt: skip


@contextmanager
def connecting() -> Iterator[None]:
    """Around connecting alone: a host that doesn't answer there is unavailable, it isn't slow."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError("no answer to connecting within the limit") from error


def explained(error: Exception) -> tuple[type[SourceError], str] | None:
    """Return the source error for a driver's error, and its sentence; None for any other error."""
    if not isinstance(error, pymysql.Error | OSError | RuntimeError):
        return None
    if isinstance(error, ssl.SSLError) or isinstance(getattr(error, "original_exception", None), ssl.SSLError):
        remedy = "correct ssl-mode and ssl-ca in its URL, or the server's certificate"
        return SourceRefused, f"the server can't be trusted ({_condition(error)}): {remedy}."
    if isinstance(error, TimeoutError):
        return SourceTimeout, f"{_TOO_SLOW[0]} (timeout): {_TOO_SLOW[1]}."
    code = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    for codes, kind, happened, remedy in _KNOWN:
        if code in codes:
            return kind, f"{happened} ({_condition(error)}): {remedy}."
    is_of_the_way = code in CLIENT_CODES or isinstance(error, OSError | pymysql.InterfaceError)
    if is_of_the_way:
        return SourceUnavailable, f"the source is unavailable ({_condition(error)}): {_RETRIED}."
    return Unreadable, f"the source can't give these rows ({_condition(error)}): {_TRY_IT}."


def _condition(error: Exception) -> str:
    """Return the code and the name of the condition: `1146, no such table`."""
    code = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    name = _NAME_BY_CODE.get(code) if isinstance(code, int) else None
    if name is None:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error"))
    words = name.removeprefix("CR_").removesuffix("_ERROR").replace("_", " ").lower()
    return f"{code}, {words}" if isinstance(code, int) else words


_TOO_SLOW = (
    "the source gave no answer within the limit",
    "an index that begins with the key's columns or a lower policy.batch_size makes reading quicker",
)
_RETRIED = "it is tried again; see whether the server runs and takes connections"
_TRY_IT = "select all of the table or view with its account to see why"
# The first entry with the code counts: codes, error, event, remedy.
_KNOWN: Sequence[tuple[tuple[int, ...], type[SourceError], str, str]] = (
    ((ER.STATEMENT_TIMEOUT, ER.QUERY_TIMEOUT), SourceTimeout, *_TOO_SLOW),
    (
        (
            ER.ACCESS_DENIED_ERROR,
            1698,
            ER.HOST_NOT_PRIVILEGED,
            ER.NOT_SUPPORTED_AUTH_MODE,
            1524,
            CR.CR_AUTH_PLUGIN_CANNOT_LOAD,
        ),
        SourceRefused,
        "the source refused the account",
        "correct user and password in its URL, or how the account proves who it is",
    ),
    (
        (CR.CR_SSL_CONNECTION_ERROR,),
        SourceRefused,
        "the server takes no TLS",
        "let it, or set ssl-mode=disabled in its URL where the way to it is safe",
    ),
    (
        (ER.DBACCESS_DENIED_ERROR, ER.BAD_DB_ERROR),
        SourceRefused,
        "the source has no such database, or not for its account",
        "correct the database's name in its URL",
    ),
    (
        (
            ER.TABLEACCESS_DENIED_ERROR,
            ER.COLUMNACCESS_DENIED_ERROR,
            ER.SPECIFIC_ACCESS_DENIED_ERROR,
            ER.PROCACCESS_DENIED_ERROR,
        ),
        SourceRefused,
        "its account may not read the table, or not all of its columns",
        "grant it SELECT on the whole table",
    ),
    (
        (ER.VIEW_INVALID, ER.NO_SUCH_USER),
        SourceRefused,
        "the view reads what isn't there, or what its definer may not read",
        "mend the view",
    ),
    (
        (READ_ONLY_TRANSACTION,),
        Unreadable,
        "what was asked for tries to write, and sources are read only",
        "import a table or view that writes nothing",
    ),
    (
        (ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR),
        SourceChanged,
        "the table is no longer what was surveyed",
        "start the import again",
    ),
    (
        (ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED),
        SourceUnavailable,
        "the source has no room for another session",
        "let it, or its account, open more; a worker opens 8 at most",
    ),
    (
        (
            ER.SERVER_SHUTDOWN,
            ER.QUERY_INTERRUPTED,
            ER.LOCK_WAIT_TIMEOUT,
            ER.LOCK_DEADLOCK,
            ER.OUT_OF_SORTMEMORY,
            ER.RECORD_FILE_FULL,
            ER.HOST_IS_BLOCKED,
            ER.NET_READ_ERROR,
            ER.NET_READ_INTERRUPTED,
            ER.NET_ERROR_ON_WRITE,
            ER.NET_WRITE_INTERRUPTED,
        ),
        SourceUnavailable,
        "the source is unavailable",
        _RETRIED,
    ),
)
