"""Converting values of sources to JSON values that the database can hold, exactly or not at all."""

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import jiter

from sources.keys import Digits
from sources.protocol import SourceRow

INTEGER_LIMIT = 2**63
"""Larger integers, positive or negative, become text: many readers of JSON would round them."""
MAX_DEPTH = 100
"""How deep lists and objects may be nested."""
NOT_UTF8 = "\0not UTF-8"
"""Staged in place of text that isn't valid UTF-8."""
DEFECT = "\0"
"""The beginning of the text that is staged in place of a nested value without JSON; the reason follows."""
_MOMENT = re.compile(r"(?!0000)\d{4}-\d\d-\d\d(?:[T ]|$)|\d\d:\d\d")


class NotJson(ValueError):
    """A value that JSON can't express, or that the database can't hold; its text is the reason, for a reject."""


class Kind(StrEnum):
    """The conversion that a column's values need on their way into a payload."""

    PLAIN = "plain"
    """Nothing: integers of 64 bits, booleans, text that can't hold a NUL."""
    TEXT = "text"
    FLOAT = "float"
    NUMBER = "number"
    """Digits as text: decimals, and integers beyond 64 bits."""
    MOMENT = "moment"
    """A date or time as ISO 8601 text."""
    JSON = "json"
    """The text of a JSON document."""
    DOCUMENT = "document"
    """The text of a JSON document that this code wrote, or DEFECT and the reason."""
    NESTED = "nested"
    """A Python value of any depth."""


def to_json_value(value: Any, *, depth: int = 0) -> Any:
    """Return a Python value as a JSON value, without loss; raises NotJson if JSON can't express it.

    Decimals and integers beyond 64 bits become text, so that no reader rounds them; dates and times become ISO 8601,
    bytes base64, UUIDs text, durations ISO 8601 such as `P1DT2.5S`; a mapping's keys become text.
    """
    if isinstance(value, Mapping | list | tuple):
        if depth >= MAX_DEPTH:
            raise NotJson(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return {_name(name): to_json_value(item, depth=depth + 1) for name, item in value.items()}
        return [to_json_value(item, depth=depth + 1) for item in value]
    for kinds, convert in _SCALARS:
        if isinstance(value, kinds):
            return convert(value)
    raise NotJson(f"is a {type(value).__name__}, which JSON has no word for")


def raw_json(encoded: bytes) -> Any:
    """Parse a JSON text; raises NotJson for a malformed text, a duplicate name or NaN."""
    try:
        return jiter.from_json(encoded, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise NotJson(f"isn't valid JSON ({error})") from None


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text and convert it as `to_json_value` does; raises NotJson as both do.

    A number with a fraction becomes a double.
    """
    encoded = text if isinstance(text, bytes) else text.encode()
    value = raw_json(encoded)
    # Nearly every document can stay as it was parsed, and rebuilding it costs 7 us for 7 members (2026-11-24).
    must_be_looked_at = b"\\u0000" in encoded or _may_be_too_deep(encoded) or _holds_a_wide_number(value)
    return to_json_value(value) if must_be_looked_at else value


def to_rows(
    records: Iterable[Any], *, names: Sequence[str], kinds: Sequence[Kind], positions: Iterable[int]
) -> list[SourceRow]:
    """Return records (values in the order of `names`) as rows; `positions` may be longer than the records."""
    return convert_rows(records, names=names, converts=[CONVERT.get(kind) for kind in kinds], positions=positions)


def convert_rows(
    records: Iterable[Any],
    *,
    names: Sequence[str],
    converts: Sequence[Callable[[Any], Any] | None],
    positions: Iterable[int],
) -> list[SourceRow]:
    """Return records as rows, converted by a function per column (None: JSON already) that may raise NotJson."""
    converting = [
        (number, name, convert)
        for number, (name, convert) in enumerate(zip(names, converts, strict=True))
        if convert is not None
    ]
    rows = []
    for record, position in zip(records, positions, strict=False):
        payload = dict(zip(names, record, strict=True))
        defect = None
        for number, name, convert in converting:
            value = record[number]
            if value is None:
                continue
            try:
                payload[name] = convert(value)
            except NotJson as error:
                del payload[name]
                defect = defect or f"{name} {error}"
        rows.append(SourceRow(position, payload, defect))
    return rows


def _may_be_too_deep(encoded: bytes) -> bool:
    return encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH


def _holds_a_wide_number(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_holds_a_wide_number, value.values()))
    if type(value) is list:
        return any(map(_holds_a_wide_number, value))
    if type(value) is int:
        return not -INTEGER_LIMIT <= value < INTEGER_LIMIT
    return type(value) is float and not math.isfinite(value)


def _document(text: str) -> Any:
    if text.startswith(DEFECT):
        raise NotJson(text.removeprefix(DEFECT))
    return raw_json(text.encode())


def _text(value: str) -> str:
    if "\0" in value:
        if value == NOT_UTF8:
            raise NotJson("isn't valid UTF-8")
        raise NotJson("holds a NUL character, which the database can't store")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise NotJson("holds half of a surrogate pair, which is no text")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise NotJson(f"is {value}, which JSON has no word for")
    return value


def to_digits(value: str) -> Digits:
    """Return a decimal number as `Digits`, whose keys are equal for equal values; raises NotJson."""
    return Digits(to_number(value))


def to_number(value: str) -> str:
    """Return a decimal number's digits; raises NotJson for values that aren't finite."""
    if value[-1].isalpha():  # NaN, Infinity and their spellings; a number ends with a digit
        raise NotJson(f"is {value}, which JSON has no word for")
    return value


def _moment(value: str) -> str:
    if not _MOMENT.match(value) or value.endswith(("BC", ")")):
        raise NotJson("is no date or time between the years 0001 and 9999")
    has_hours_of_zone = len(value) > len("2024-01-01") and value[-3] in "+-"
    return value.replace(" ", "T", 1) + (":00" if has_hours_of_zone else "")


def _duration(value: timedelta) -> str:
    seconds = Decimal(value.seconds) + Decimal(value.microseconds).scaleb(-6)
    return f"P{value.days}DT{format(seconds.normalize(), 'f')}S"


def _integer(value: int) -> int | str:
    return value if -INTEGER_LIMIT <= value < INTEGER_LIMIT else str(value)


def _same(value: Any) -> Any:
    return value


def _name(name: Any) -> str:
    return _text(name if isinstance(name, str) else str(to_json_value(name)))


CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.FLOAT: _float,
    Kind.NUMBER: to_digits,
    Kind.MOMENT: _moment,
    Kind.JSON: parse_json,
    Kind.DOCUMENT: _document,
    Kind.NESTED: to_json_value,
}
"""The conversion to a JSON value for each kind; a plain value is JSON already."""
# bool comes first: it is a subclass of int.
_SCALARS: Sequence[tuple[tuple[type, ...], Callable[[Any], Any]]] = (
    ((str,), _text),
    ((bool, type(None)), _same),
    ((int,), _integer),
    ((float,), _float),
    ((Decimal,), lambda value: to_digits(format(value, "f"))),
    ((date, time), lambda value: value.isoformat()),
    ((timedelta,), _duration),
    ((UUID,), str),
    ((bytes, bytearray, memoryview), lambda value: base64.b64encode(value).decode()),
)
