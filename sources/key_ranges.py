"""Ranges between keys, for sources that are cut along their key: their JSON and their limits."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sources.errors import KeyMissing, KeyUnusable, echoed
from sources.protocol import SourceRange


def between(
    starts: Mapping[int, Sequence[Any]], *, rows: int, last: Sequence[Any] | None, about: Mapping[str, Any], named: str
) -> list[SourceRange]:
    """Return the ranges between start keys, each given with the number of rows before it; `last` is the greatest key.

    The last range ends at the greatest key, so rows that are added behind it after the survey are excluded. `about` is
    part of each range; its `most` is the number of rows that a range may hold. Raises KeyUnusable where more rows share
    one key; `named` names the key.
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
    """Return whether a range includes its end, its first key, and the key at its end."""
    is_last = "through" in source_range
    return is_last, source_range["from"], source_range["through" if is_last else "before"]


def remarks(*, rows: int, keyless: int, named: str, is_indexed: bool) -> str | None:
    """Return the survey's remarks about rows without a key and about batches that will be slow to read."""
    found = []
    if rows and not is_indexed:
        found.append(f"No index begins with {named}, so each batch may read the whole table: create one.")
    if keyless:
        found.append(f"{keyless} of {rows} rows have no value in {named}.")
    return " ".join(found) or None


def key_in_words(columns: Iterable[str]) -> str:
    """Return the columns of a key in words, for a sentence."""
    return "(" + ", ".join(map(echoed, columns)) + ")"


def compared(terms: Sequence[str], operator: str, literals: Sequence[str]) -> str:
    """Return the condition that compares a key with another by `>=`, `<` or `<=`, column by column.

    For engines that can't compare rows, or can't scan an index that way: `(a, b) >= (1, 2)` becomes `a > 1 OR (a = 1
    AND b >= 2)`.
    """
    if len(terms) == 1:
        return f"{terms[0]} {operator} {literals[0]}"
    rest = compared(terms[1:], operator, literals[1:])
    return f"({terms[0]} {operator[0]} {literals[0]} OR ({terms[0]} = {literals[0]} AND {rest}))"
