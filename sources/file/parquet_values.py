"""How the values of a leaf column of Parquet are staged, by its Parquet and Arrow types."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import pyarrow as pa
from pyarrow import compute, types

from sources.file.nested import Defect
from sources.values import CONVERT, NOT_UTF8, Kind, NotJson

Convert: TypeAlias = Callable[[pa.Array, pa.Array], pa.Array]
"""Converts a leaf's values (for an INT96 also the same values in whole seconds) to staged values."""
_INTERVAL = struct.Struct("<III")
_NANOSECONDS = 1_000_000_000
_OUT_OF_RANGE = "out of range"
"""Replaces a timestamp that ISO 8601 can't express."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The description of a leaf column in a Parquet file: its physical type and its annotation."""

    physical: str
    logical: str
    is_utc: bool


@dataclass(frozen=True, slots=True)
class Staging:
    """How a leaf's values are staged, and how they are converted when they are read."""

    kind: Kind
    type: pa.DataType
    convert: Convert
    needs_seconds: bool = False

    def to_json(self, staged: pa.Array) -> list[Any]:
        """Return staged values as the values of a payload, with a Defect for each value that a payload can't hold."""
        values: list[Any] = staged.to_pylist()
        if self.kind is Kind.PLAIN:
            return values
        convert = CONVERT[self.kind]
        return [None if value is None else _value(convert, value) for value in values]


def _value(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except NotJson as error:
        return Defect(f"holds a value that {error}")


def staging_of(leaf: Leaf, type_: pa.DataType) -> Staging | None:
    """Return how values of the Arrow type `type_` are staged; None for a type that can't be imported."""
    if leaf.physical == "INT96":
        return Staging(Kind.MOMENT, pa.string(), _int96, needs_seconds=True)
    if (found := _BY_ANNOTATION.get(leaf.logical)) and not types.is_null(type_):
        return found
    if types.is_duration(type_):
        return Staging(Kind.PLAIN, pa.string(), _durations(type_.unit))
    if types.is_temporal(type_):
        return Staging(Kind.MOMENT, pa.string(), _moments_in_utc if leaf.is_utc else _moments)
    return next((staging for is_of, staging in _BY_TYPE if is_of(type_)), None)


def _cast(type_: pa.DataType) -> Convert:
    return lambda array, _: array.cast(type_)


def _each(convert: Callable[[Any], str]) -> Convert:
    """Return the conversion of values one by one, for types that are rare."""
    return lambda array, _: pa.array(
        [None if value is None else convert(value) for value in array.to_pylist()], pa.string()
    )


def _texts(array: pa.Array, _: pa.Array) -> pa.Array:
    """Return texts, with NOT_UTF8 in place of invalid ones: Arrow doesn't validate UTF-8."""
    texts = array.cast(pa.large_binary()).view(pa.large_string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array(map(_text_or_defect, texts.view(pa.large_binary()).to_pylist()), pa.large_string())
    return texts


def _text_or_defect(encoded: bytes | None) -> str | None:
    try:
        return None if encoded is None else encoded.decode()
    except UnicodeDecodeError:
        return NOT_UTF8


def _decimals(array: pa.Array, _: pa.Array) -> pa.Array:
    """Return digits, never with an exponent, which Arrow writes for small values."""
    digits = array.cast(pa.string())
    if not compute.any(compute.match_substring(digits, "E")).as_py():
        return digits
    return pa.array([None if text is None else format(Decimal(text), "f") for text in digits.to_pylist()], pa.string())


def _moments(array: pa.Array, _: pa.Array) -> pa.Array:
    """Return dates, times and timestamps as text; timestamps with a zone are shown in UTC."""
    if types.is_timestamp(array.type):
        array = array.view(pa.timestamp(array.type.unit))
    return _without_trailing_zeros(array.cast(pa.string()))


def _moments_in_utc(array: pa.Array, seconds: pa.Array) -> pa.Array:
    return compute.binary_join_element_wise(_moments(array, seconds), "+00", "")


def _without_trailing_zeros(texts: pa.Array) -> pa.Array:
    has_fraction = compute.match_substring(texts, ".")
    trimmed = compute.ascii_rtrim(compute.ascii_rtrim(texts, "0"), ".")
    return compute.if_else(has_fraction, trimmed, texts)


def _int96(array: pa.Array, seconds: pa.Array) -> pa.Array:
    """Return INT96 timestamps. Arrow reads them modulo 2^64 nanoseconds; their whole seconds correct that."""
    whole = compute.multiply(seconds.view(pa.int64()), _NANOSECONDS)  # modulo 2^64, too
    fraction = compute.subtract(array.view(pa.int64()), whole)
    digits = compute.utf8_lpad(fraction.cast(pa.string()), 9, "0")
    texts = compute.binary_join_element_wise(seconds.view(pa.timestamp("s")).cast(pa.string()), digits, ".")
    is_within = compute.and_(compute.greater_equal(fraction, 0), compute.less(fraction, _NANOSECONDS))
    return compute.if_else(is_within, _without_trailing_zeros(texts), _OUT_OF_RANGE)


def _durations(unit: str) -> Convert:
    """Return the conversion of durations, which Parquet stores as integers of this unit."""
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    ticks_a_day = 86_400 * 10**digits
    return _each(lambda ticks: _duration(ticks // ticks_a_day, ticks % ticks_a_day, digits))


def _interval(encoded: bytes) -> str:
    months, days, milliseconds = _INTERVAL.unpack(encoded)
    return _duration(days, milliseconds, 3, months=f"{months}M" if months else "")


def _duration(days: int, ticks: int, digits: int, *, months: str = "") -> str:
    seconds = format(Decimal(ticks).scaleb(-digits).normalize(), "f")
    return f"P{months}{days}DT{seconds}S"


_TEXT = Staging(Kind.TEXT, pa.large_string(), _texts)
_BINARY = Staging(Kind.NESTED, pa.large_binary(), _cast(pa.large_binary()))
_BY_ANNOTATION = {
    "Enum": _TEXT,
    "JSON": Staging(Kind.JSON, pa.large_string(), _texts),
    "UUID": Staging(Kind.PLAIN, pa.string(), _each(lambda encoded: str(UUID(bytes=encoded)))),
    "Interval": Staging(Kind.PLAIN, pa.string(), _each(_interval)),
}
_BY_TYPE: Sequence[tuple[Callable[[pa.DataType], bool], Staging]] = (
    (types.is_null, Staging(Kind.PLAIN, pa.bool_(), _cast(pa.bool_()))),
    (types.is_boolean, Staging(Kind.PLAIN, pa.bool_(), _cast(pa.bool_()))),
    # As JSON values; integers from 2^63 on become text.
    (types.is_uint64, Staging(Kind.JSON, pa.string(), _cast(pa.string()))),
    (types.is_integer, Staging(Kind.PLAIN, pa.int64(), _cast(pa.int64()))),
    (types.is_floating, Staging(Kind.FLOAT, pa.float64(), _cast(pa.float64()))),
    (types.is_decimal, Staging(Kind.NUMBER, pa.string(), _decimals)),
    (types.is_string, _TEXT),
    (types.is_binary, _BINARY),
    (types.is_fixed_size_binary, _BINARY),
)
