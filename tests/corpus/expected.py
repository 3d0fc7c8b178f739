"""The result of a strict reader for a file: its columns, its records in their order, or the reason to refuse it.

Nothing here or beside it knows how the importer reads; both sides meet only in `judging`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Row:
    """A record that is to arrive with exactly this payload; one that `may_be_rejected` may be refused instead."""

    payload: dict[str, Any]
    may_be_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is to be rejected; the reason names `column` if one is given. `line` is from 1, 0 if unknown."""

    line: int = 0
    column: str | None = None


Record: TypeAlias = Row | Reject


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the whole file is refused: `mentions` is a regular expression that the error has to match, in any case.

    A refusal that isn't `certain` leaves the choice: refuse, or deliver the records as they are listed.
    """

    mentions: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected result for a file. `columns` are None where a format doesn't fix them."""

    columns: tuple[str, ...] | None
    records: Sequence[Record] = field(default_factory=list)
    refusal: Refusal | None = None

    @property
    def must_be_refused(self) -> bool:
        return self.refusal is not None and self.refusal.is_certain


def refused(mentions: str) -> Expected:
    """The expected result for a file that must be refused."""
    return Expected(None, [], Refusal(mentions))


@dataclass(frozen=True, slots=True)
class Case:
    """A file, what comes of it, and the columns of its key.

    `tags` name what it tries, for counting.
    """

    name: str
    content: bytes
    expected: Expected
    key: tuple[str, ...]
    tags: frozenset[str] = frozenset()
    batch_size: int = 7


class Fits(Protocol):
    """A value of which several spellings are right; `example` is one of them."""

    @property
    def example(self) -> Any: ...

    def fits(self, value: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several values, where a format leaves open which."""

    values: tuple[Any, ...]

    @property
    def example(self) -> Any:
        return self.values[0]

    def fits(self, value: Any) -> bool:
        return any(is_same(wanted, value) for wanted in self.values)


@dataclass(frozen=True, slots=True)
class Single:
    """A number of single precision: a double that rounds to it."""

    value: float

    @property
    def example(self) -> Any:
        return self.value

    def fits(self, value: Any) -> bool:
        return type(value) is float and struct.pack("f", value) == struct.pack("f", self.value)


def is_same(wanted: Any, value: Any) -> bool:
    """Say whether a value is the one wanted, in its type too: 1 is neither True nor 1.0, and 0.0 is not -0.0."""
    if hasattr(wanted, "fits"):
        return bool(wanted.fits(value))
    if type(wanted) is not type(value):
        return False
    if isinstance(wanted, dict):
        return wanted.keys() == value.keys() and all(is_same(item, value[name]) for name, item in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(value) and all(map(is_same, wanted, value))
    return repr(wanted) == repr(value) if isinstance(wanted, float) else bool(wanted == value)
