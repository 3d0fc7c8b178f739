"""Errors of reading a source, as one tree; each has a stable `code` and a remedy.

SourceError
├── SourceMissing          no such file, table or named query
├── SourceForbidden        the path leaves the import root or is no file, or the table isn't listed
├── UnknownColumn          the key names a column that the source lacks
├── Unreadable             the content doesn't have its format, or the format isn't supported
├── KeyMissing             too many rows have no key
├── KeyUnusable            the key can't be ordered, or too many rows share one
├── TooManyBatches         batches of this size would be more than an import may have
├── SourceChanged          the content has changed since the survey
├── SourceRefused          the service takes neither these credentials nor this query
└── SourceUnavailable      unavailable for now; the same call may succeed later
    ├── SourceBusy             it takes no more calls now
    ├── SourceNotConfigured    the configuration of this process doesn't name it; another process may know it
    └── SourceTimeout          no answer within the limit
"""

import difflib
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager

from domain.batch_counts import MAX_BATCHES, least_batch_size
from domain.table_names import TableName

ECHO_LIMIT = 100
"""Characters of a name that an error may echo; values are never echoed."""
UNFORESEEN = "Reading the source failed in a way that nobody foresaw; the log says more"


class SourceError(Exception):
    """The source can't be read; after a `retryable` error the same call may be tried again.

    For five minutes, an error that `is_unavailable` doesn't count as a failed attempt.
    """

    code = "source_error"
    retryable = False
    is_unavailable = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SourceMissing(SourceError):
    """There is no such file, table or named query."""

    code = "source_missing"


class SourceForbidden(SourceError):
    """The path leaves the import root or names no regular file, or the configuration doesn't list the table."""

    code = "source_forbidden"


class UnknownColumn(SourceError):
    """The key names a column that the source lacks."""

    code = "unknown_column"


class Unreadable(SourceError):
    """The content doesn't have its format, or the format isn't supported."""

    code = "unreadable"


class KeyMissing(SourceError):
    """More rows have no value in a column of the key than one batch can hold."""

    code = "key_missing"


class KeyUnusable(SourceError):
    """The key can't be ordered, or more rows share one key than one batch can hold."""

    code = "key_unusable"


class TooManyBatches(SourceError):
    """The `rows` would fill more batches of this size than an import may have."""

    code = "too_many_batches"

    def __init__(self, rows: int, batch_size: int, *, record_types: int = 1) -> None:
        enough = least_batch_size(rows, record_types)
        remedy = f"give policy.batch_size {enough} or more" if enough else "import them in several parts"
        super().__init__(
            f"{rows} rows in batches of {batch_size} are more than the {MAX_BATCHES} batches that an import may have: "
            f"{remedy}."
        )
        self.rows = rows


class SourceChanged(SourceError):
    """The source has changed since it was surveyed."""

    code = "source_changed"


class SourceRefused(SourceError):
    """The service rejects the credentials or the query."""

    code = "source_refused"


class SourceUnavailable(SourceError):
    """The source is unavailable; the same call may succeed later."""

    code = "source_unavailable"
    retryable = True
    is_unavailable = True


class SourceBusy(SourceUnavailable):
    """The source takes no more calls for now; it may say for how long."""

    code = "source_busy"

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class SourceNotConfigured(SourceUnavailable):
    """The configuration of this process doesn't name the source; another worker may be able to open it."""

    code = "source_not_configured"


class SourceTimeout(SourceUnavailable):
    """The source gave no answer within the limit: the request may be too large for it."""

    code = "source_timeout"
    is_unavailable = False


def echoed(name: str) -> str:
    """Return a name, shortened for an error."""
    return f'"{name[:ECHO_LIMIT]}"'


@contextmanager
def translated_errors(
    connection: str, explain: Callable[[Exception], "tuple[type[SourceError], str] | None"]
) -> Iterator[None]:
    """Turn a driver's error into a SourceError that names the connection; errors unknown to `explain` pass through."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        kind, detail = explained
        raise kind(f"Connection {echoed(connection)}: {detail}") from error


def refuse_unlisted(name: TableName, listed: Container[TableName]) -> None:
    """Raise SourceForbidden for a table that the connection's configuration doesn't list."""
    if name not in listed:
        raise SourceForbidden(
            f"The connection may not read table {echoed(str(name))}: the operator can add it to its `tables`."
        )


def refuse_unknown_columns(key: Iterable[str], columns: Iterable[str], *, source: str = "The source") -> None:
    """Raise UnknownColumn for the first part of the key that is no column; the error suggests the nearest column."""
    known = list(columns)
    for name in key:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            listed = ", ".join(map(echoed, known[:20])) or "none"
            hint = f"did you mean {echoed(near[0])}?" if near else f"it has {listed}."
            raise UnknownColumn(f"{source} has no column {echoed(name)}: {hint}")


def refuse_too_many_batches(rows: int, batch_size: int) -> None:
    """Raise TooManyBatches, before any cutting, if this record type alone has more batches than an import may have."""
    if rows > MAX_BATCHES * batch_size:
        raise TooManyBatches(rows, batch_size)
