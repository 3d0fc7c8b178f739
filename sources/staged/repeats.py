"""Rows of a staged file whose key an earlier row has: DuckDB finds the candidates, and only those are compared.

The hashes of all rows' keys are counted; this is cheap and leaves the few rows that may be equal. Those are read as a
batch reads them, and the text of the key decides whether they are equal.
"""

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from sources.errors import KeyUnusable, echoed
from sources.keys import key_text
from sources.protocol import SourceRow
from sources.staged.content import Content
from sources.staged.duck import Session
from sources.staged.files import StagedFile
from sources.staged.rows import stored_columns, to_source_rows
from sources.values import Kind

MAX_REPEATED = 500_000
"""Each takes a number in the import's plan. 500,000 of 1,000,000 rows are found in 5 to 7 s with 240 MB
(2026-11-25)."""
_ROWS_AT_ONCE = 5_000
_DIGEST_BYTES = 16


def find_repeated(session: Session, staged: StagedFile, key: Sequence[str], *, most: int) -> list[int]:
    """Return, in order, the positions of the rows whose key occurs in an earlier row.

    A row with a defect doesn't count: of equal keys the first row without a defect stays. Raises KeyUnusable if more
    than `most` rows share one key, or more than MAX_REPEATED rows repeat one.
    """
    _find_shared_hashes(session, staged, key)
    if not _count_repeated(session, staged, key, most=most):
        return []
    text_of = key_text(key)
    seen: set[bytes] = set()  # digests: a million keys may be long
    repeated = []
    for row in _rows_that_share(session, staged, key):
        text = None if row.defect is not None else text_of(row.payload)
        if text is not None:
            digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
            if digest in seen:
                repeated.append(row.position)
            seen.add(digest)
    return repeated


def _find_shared_hashes(session: Session, staged: StagedFile, key: Sequence[str]) -> None:
    """Store in a table of the session the hashes that several rows share, each with the number of rows."""
    session.connection.execute(
        f"""
        CREATE TEMP TABLE shared_hashes AS
        SELECT hash, count(*) AS sharing FROM ({_hashed(staged.content, key)})
        GROUP BY hash HAVING count(*) > 1
        """,
        _parameters(staged, key),
    )


def _count_repeated(session: Session, staged: StagedFile, key: Sequence[str], *, most: int) -> int:
    """Return how many rows repeat the hash of an earlier row; raises KeyUnusable if they are too many."""
    statement = "SELECT coalesce(sum(sharing - 1), 0)::BIGINT, coalesce(max(sharing), 0) FROM shared_hashes"
    repeated, longest = session.connection.execute(statement).fetchone() or (0, 0)
    named = "(" + ", ".join(map(echoed, key)) + ")"
    if longest > most:
        raise KeyUnusable(f"Too many rows share one value of {named}, up to {longest}.")
    if repeated > MAX_REPEATED:
        raise KeyUnusable(
            f"{repeated} of {staged.content.records} rows have the same value of {named} as a row before them, and at "
            f"most {MAX_REPEATED} may: choose another key."
        )
    return int(repeated)


def _rows_that_share(session: Session, staged: StagedFile, key: Sequence[str]) -> Iterator[SourceRow]:
    """Yield the rows that share their hash with another row, in their order."""
    row_numbers = _row_numbers_that_share(session, staged, key)
    for first in range(0, len(row_numbers), _ROWS_AT_ONCE):
        session.go_on()
        wanted = row_numbers[first : first + _ROWS_AT_ONCE]
        records = session.connection.execute(
            f"""
            SELECT {stored_columns(staged.content)} FROM read_parquet($path, file_row_number = true)
            WHERE file_row_number BETWEEN $first AND $last AND file_row_number IN (SELECT unnest($wanted))
            ORDER BY file_row_number
            """,
            {"path": str(staged.parquet), "first": wanted[0], "last": wanted[-1], "wanted": wanted.tolist()},
        ).fetchall()
        yield from to_source_rows(staged.content, records, wanted)


def _row_numbers_that_share(session: Session, staged: StagedFile, key: Sequence[str]) -> "array[int]":
    row_numbers = array("q")
    found = session.connection.execute(
        f"""
        SELECT file_row_number FROM ({_hashed(staged.content, key)})
        WHERE hash IN (SELECT s.hash FROM shared_hashes AS s)
        ORDER BY file_row_number
        """,
        _parameters(staged, key),
    )
    while records := found.fetchmany(_ROWS_AT_ONCE):
        row_numbers.extend(number for (number,) in records)
    return row_numbers


def _hashed(content: Content, key: Sequence[str]) -> str:
    """Return the query for all rows with a key and its `hash`; keys of the same text have the same hash.

    Different keys may share a hash; they cost a comparison.
    """
    parts = [f"k{number}" for number in range(len(key))]
    values = ", ".join(f"{_value(content, name, number)} AS k{number}" for number, name in enumerate(key))
    has_key = " AND ".join(f"{part} IS NOT NULL" for part in parts)
    return f"""
        SELECT *, hash({", ".join(parts)}) AS hash
        FROM (SELECT *, {values} FROM read_parquet($path, file_row_number = true))
        WHERE {has_key}
    """


def _value(content: Content, name: str, number: int) -> str:
    """Return the expression for a part of the key; equal texts give equal values."""
    if content.holds_documents:
        return f"TRY(c0 ->> $name{number})"  # a line that is no JSON has no key
    column = content.columns.index(name)
    if content.kinds[column] in {Kind.JSON, Kind.DOCUMENT}:
        return f"TRY(json_extract_string(c{column}, '$'))"  # a value without JSON is no key
    return f"c{column}"


def _parameters(staged: StagedFile, key: Sequence[str]) -> dict[str, str]:
    """Return the path of the rows and, for documents, JSON pointers to the key's members, with any names."""
    pointers = {f"name{number}": "/" + name.replace("~", "~0").replace("/", "~1") for number, name in enumerate(key)}
    return {"path": str(staged.parquet), **(pointers if staged.content.holds_documents else {})}
