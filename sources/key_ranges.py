"""Ranges between keys, for sources that are cut along their key: what a range says of itself, and its limits."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sources.errors import KeyMissing, KeyUnusable, echoed
from sources.protocol import SourceRange


def between(
    starts: Mapping[int, Sequence[Any]], *, rows: int, last: Sequence[Any] | None, about: Mapping[str, Any], named: str
) -> list[SourceRange]:
    """Return the ranges between the keys that stand after so many rows; the last goes through the greatest key.

    So rows that are added behind the greatest key after the survey are no part of it. `about` stands in each range, and
    says by `most` how many rows it may hold. Raises KeyUnusable where more share one key, which is `named`.
    """
    ranges = []
    for (first, key), (next_first, next_key) in pairwise([*starts.items(), (rows, last)]):
        if next_first - first > about["most"]:
            raise KeyUnusable(f"Too many rows share one value of {named}, up to {next_first - first}.")
        end = "through" if next_first == rows else "before"
        range_ = {**about, "first": first, "from": list(key or ()), end: list(next_key or ())}
        ranges.append(SourceRange(range_, next_first - first))
    return ranges


def without_key(keyless: int, *, rows: int, about: Mapping[str, Any], named: str) -> list[SourceRange]:
    """Return the range of the rows that have no key, behind all others. Raises KeyMissing where they are too many."""
    if keyless > about["most"]:
        raise KeyMissing(f"{keyless} of {rows} rows have no value in {named}: choose another key.")
    return [SourceRange({**about, "first": rows - keyless, "without_key": True}, keyless)] if keyless else []


def bounds(source_range: Mapping[str, Any]) -> tuple[bool, Sequence[Any], Sequence[Any]]:
    """Return whether a range goes through its greatest key, the key that it begins with, and the one at its end."""
    is_last = "through" in source_range
    return is_last, source_range["from"], source_range["through" if is_last else "before"]


def remarks(*, rows: int, keyless: int, named: str, is_indexed: bool) -> str | None:
    """Return what a survey says of rows without a key, and of batches that will be slow to read."""
    found = []
    if rows and not is_indexed:
        found.append(f"No index begins with {named}, so each batch may read the whole table: create one.")
    if keyless:
        found.append(f"{keyless} of {rows} rows have no value in {named}.")
    return " ".join(found) or None


def named(columns: Iterable[str]) -> str:
    """Return the columns of a key as a sentence names them."""
    return "(" + ", ".join(map(echoed, columns)) + ")"


def compared(terms: Sequence[str], operator: str, literals: Sequence[str]) -> str:
    """Return the condition that a key stands in this relation (`>=`, `<`, `<=`) to another, column by column.

    For what compares no rows, or can't scan an index by that: `(a, b) >= (1, 2)` becomes `a > 1 OR (a = 1 AND b >= 2)`.
    """
    if len(terms) == 1:
        return f"{terms[0]} {operator} {literals[0]}"
    rest = compared(terms[1:], operator, literals[1:])
    return f"({terms[0]} {operator[0]} {literals[0]} OR ({terms[0]} = {literals[0]} AND {rest}))"
