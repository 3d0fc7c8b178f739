"""The types that pyarrow can write to Parquet: how their values are drawn, and the JSON value each is to become.

Values are drawn as what lies in the file (days, ticks, unscaled digits), and what they become is worked out from that
alone.
"""

import base64
import json
import math
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa

from tests.corpus.expected import AnyOf, Single

Random = random.Random
EPOCH = date(1970, 1, 1).toordinal()
LAST_DAY = date.max.toordinal()
DAY = 86_400
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TEXTS = (
    "", "a", " a ", "007", "é", "日本", "\U0001f600", '"', "\\", "\n", "\r\n", "\x01", "\x7f", "\u2028", "\ufeff",
    "null", "NaN", "x" * 300, "2024-01-01", "1.0", "\ud7ff", "\uffff", "e\u0301",
)  # fmt: skip


class Unheld:
    """A value that JSON or the database can't hold: the row is to be rejected."""


UNHELD = Unheld()
Drawn: TypeAlias = tuple[Any, Any]
"""A value as pyarrow takes it, and as it is to arrive."""


@dataclass(frozen=True, slots=True)
class Precision:
    """What a file's options leave of a moment: a multiple of so many nanoseconds, in 64 bits unless `is_int96`."""

    nanoseconds: int = 1
    is_int96: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """A type without others inside."""

    name: str
    type: pa.DataType
    draw: Callable[[Random, Precision], Drawn]


def _integers(bits: int, *, is_signed: bool) -> Callable[[Random, Precision], Drawn]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)

    def draw(rng: Random, _: Precision) -> Drawn:
        value = rng.choice((low, high, 0, 1, rng.randint(low, high), rng.randint(max(low, -100), min(high, 100))))
        if value >= 1 << 63:
            return value, str(value)
        return value, AnyOf((value, str(value))) if bits == 64 and not is_signed else value

    return draw


_SINGLES = (
    0.0, -0.0, 1.5, -2.25, 3.4028234663852886e38, 1e-45, 0.10000000149011612, 16777216.0, float("inf"), float("nan"),
)  # fmt: skip
_DOUBLES = (
    0.0, -0.0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e22, 2.0**53 + 2, float("-inf"), float("nan"),
)  # fmt: skip


def _single(rng: Random, _: Precision) -> Drawn:
    value = rng.choice(_SINGLES)
    return value, Single(value) if math.isfinite(value) else UNHELD


def _double(rng: Random, _: Precision) -> Drawn:
    value = rng.choice((*_DOUBLES, rng.random()))
    return value, value if math.isfinite(value) else UNHELD


def _half(rng: Random, _: Precision) -> Drawn:
    value = rng.choice((0.0, -0.0, 1.0, -2.5, 65504.0, 0.0999755859375, 6.103515625e-05, float("inf")))
    return value, value if math.isfinite(value) else UNHELD


def _decimals(precision: int, scale: int) -> Callable[[Random, Precision], Drawn]:
    def draw(rng: Random, _: Precision) -> Drawn:
        most = 10**precision - 1
        digits = rng.choice(
            (0, 1, -1, most, -most, min(most, 10**scale), rng.randint(-most, most), rng.randint(-most, most))
        )
        sign, text = "-" * (digits < 0), str(abs(digits)).rjust(scale + 1, "0")
        wanted = f"{sign}{text[: len(text) - scale]}.{text[len(text) - scale :]}" if scale else sign + text
        return Decimal(f"{digits}E-{scale}"), wanted

    return draw


def text(rng: Random, _: Precision) -> Drawn:
    value = "".join(rng.choice(TEXTS) for _ in range(rng.choice((1, 1, 1, 4))))
    if rng.random() < 0.005:
        return value + "\0", UNHELD
    return value, value


def _bytes(rng: Random, _: Precision) -> Drawn:
    value = rng.randbytes(rng.choice((0, 1, 2, 3, 4, 100)))
    return value, base64.b64encode(value).decode()


def _fixed_bytes(rng: Random, _: Precision) -> Drawn:
    value = rng.randbytes(7)
    return value, base64.b64encode(value).decode()


def _uuid(rng: Random, _: Precision) -> Drawn:
    value = uuid.UUID(bytes=rng.randbytes(16))
    return value.bytes, str(value)


def _json(rng: Random, _: Precision) -> Drawn:
    value = rng.choice(({"a": [1, None, "é"]}, [], "text", 1.5, True, None, {"b": {"c": "x"}}, 12345678901234567890123))
    return json.dumps(value), str(value) if type(value) is int else value


def day_text(days: int) -> str | None:
    """Return a day since 1970 as ISO 8601 text; None outside the years 1 to 9999."""
    number = EPOCH + days
    return date.fromordinal(number).isoformat() if 1 <= number <= LAST_DAY else None


def _drawn_day(rng: Random) -> int:
    if rng.random() < 0.02:
        return rng.choice((-EPOCH, LAST_DAY + 1 - EPOCH, -1_000_000, 3_000_000))
    return rng.choice((0, -1, 1, 1 - EPOCH, LAST_DAY - EPOCH, 11016, 19782, rng.randint(-700_000, 2_900_000)))


def _days(per_day: int) -> Callable[[Random, Precision], Drawn]:
    def draw(rng: Random, _: Precision) -> Drawn:
        days = _drawn_day(rng)
        return days * per_day, day_text(days) or UNHELD

    return draw


def clock_text(ticks: int, unit: str) -> str:
    """Return a time of a day as ISO 8601 text, with as many digits behind the second as it needs."""
    seconds, fraction = divmod(ticks, PER_SECOND[unit])
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = str(fraction).rjust(len(str(PER_SECOND[unit])) - 1, "0").rstrip("0")
    return f"{text}.{digits}" if digits and fraction else text


def _drawn_clock(rng: Random, unit: str, precision: Precision) -> int:
    per_second = PER_SECOND[unit]
    step = max(1, precision.nanoseconds * per_second // 10**9)
    ticks = rng.choice(
        (0, step, DAY * per_second - step, rng.randrange(DAY) * per_second, rng.randrange(DAY * per_second))
    )
    return ticks - ticks % step


def _clocks(unit: str) -> Callable[[Random, Precision], Drawn]:
    def draw(rng: Random, precision: Precision) -> Drawn:
        ticks = _drawn_clock(rng, unit, precision)
        return ticks, clock_text(ticks, unit)

    return draw


def _moments(unit: str, *, is_zoned: bool) -> Callable[[Random, Precision], Drawn]:
    def draw(rng: Random, precision: Precision) -> Drawn:
        most = 106_000 if unit == "ns" else 10_000_000
        days = max(-most, min(most, _drawn_day(rng)))
        ticks = _drawn_clock(rng, unit, precision)
        day = day_text(days)
        value = days * DAY * PER_SECOND[unit] + ticks
        if day is None:
            return value, UNHELD
        naive = f"{day}T{clock_text(ticks, unit)}"
        # INT96 doesn't say whether it is of a zone.
        return value, AnyOf(
            (naive, naive + "+00:00")
        ) if is_zoned and precision.is_int96 else naive + "+00:00" * is_zoned

    return draw


@dataclass(frozen=True, slots=True)
class _Duration:
    """A span, which Parquet has no type for: the number it is stored as, or text of ISO 8601."""

    ticks: int
    unit: str

    @property
    def example(self) -> Any:
        return self.ticks

    def fits(self, value: Any) -> bool:
        if type(value) is int:
            return value == self.ticks
        return isinstance(value, str) and _nanoseconds(value) == self.ticks * (10**9 // PER_SECOND[self.unit])


def _nanoseconds(duration: str) -> Decimal | None:
    """Return the length of `P<days>DT<seconds>S` or its like, with signs and fractions at any part; None for others."""
    is_negative = duration.startswith("-")
    days, _, rest = (
        duration.lstrip("-").removeprefix("P").rpartition("T") if "T" in duration else (duration[1:], "", "")
    )
    total = Decimal(0)
    for part, units in ((days, {"W": 7 * DAY, "D": DAY}), (rest, {"H": 3600, "M": 60, "S": 1})):
        digits = ""
        for character in part:
            if character in units:
                total += Decimal(digits or "x") * units[character]
                digits = ""
            else:
                digits += character
    return (-total if is_negative else total) * 10**9


def _durations(unit: str) -> Callable[[Random, Precision], Drawn]:
    def draw(rng: Random, _: Precision) -> Drawn:
        ticks = rng.choice((0, 1, -1, rng.randint(-(10**15), 10**15), 90_061 * PER_SECOND[unit]))
        return ticks, _Duration(ticks, unit)

    return draw


def _booleans(rng: Random, _: Precision) -> Drawn:
    value = rng.random() < 0.5
    return value, value


def _bool8(rng: Random, _: Precision) -> Drawn:
    value = rng.randrange(2)
    return value, AnyOf((value, bool(value)))


def _nothing(rng: Random, _: Precision) -> Drawn:
    return None, None


def _few(draw: Callable[[Random, Precision], Drawn]) -> Callable[[Random, Precision], Drawn]:
    """Return what draws from a handful of values, as a dictionary wants."""

    def drawn(rng: Random, precision: Precision) -> Drawn:
        return draw(random.Random(rng.randrange(5)), precision)

    return drawn


_TYPES: Mapping[str, tuple[pa.DataType, Callable[[Random, Precision], Drawn]]] = {
    "bool": (pa.bool_(), _booleans),
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), _integers(bits, is_signed=True)) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), _integers(bits, is_signed=False)) for bits in (8, 16, 32, 64)},
    "float16": (pa.float16(), _half),
    "float32": (pa.float32(), _single),
    "float64": (pa.float64(), _double),
    "decimal32": (pa.decimal32(7, 2), _decimals(7, 2)),
    "decimal64": (pa.decimal64(16, 16), _decimals(16, 16)),
    "decimal128 of 5": (pa.decimal128(5, 1), _decimals(5, 1)),
    "decimal128 of 18": (pa.decimal128(18, 3), _decimals(18, 3)),
    "decimal128 of 38": (pa.decimal128(38, 0), _decimals(38, 0)),
    "decimal256 of 9": (pa.decimal256(9, 9), _decimals(9, 9)),
    "decimal256 of 60": (pa.decimal256(60, 4), _decimals(60, 4)),
    "decimal256 of 76": (pa.decimal256(76, 38), _decimals(76, 38)),
    "string": (pa.string(), text),
    "large_string": (pa.large_string(), text),
    "string_view": (pa.string_view(), text),
    "binary": (pa.binary(), _bytes),
    "large_binary": (pa.large_binary(), _bytes),
    "binary_view": (pa.binary_view(), _bytes),
    "fixed_size_binary": (pa.binary(7), _fixed_bytes),
    "dictionary of string": (pa.dictionary(pa.int8(), pa.string()), _few(text)),
    "dictionary of large_string": (pa.dictionary(pa.int32(), pa.large_string()), _few(text)),
    "dictionary of int64": (pa.dictionary(pa.int16(), pa.int64()), _few(_integers(64, is_signed=True))),
    "dictionary of binary": (pa.dictionary(pa.int8(), pa.binary()), _few(_bytes)),
    "date32": (pa.date32(), _days(1)),
    "date64": (pa.date64(), _days(DAY * 1000)),
    **{f"time32 {unit}": (pa.time32(unit), _clocks(unit)) for unit in ("s", "ms")},
    **{f"time64 {unit}": (pa.time64(unit), _clocks(unit)) for unit in ("us", "ns")},
    **{f"timestamp {unit}": (pa.timestamp(unit), _moments(unit, is_zoned=False)) for unit in PER_SECOND},
    **{f"timestamp {unit} UTC": (pa.timestamp(unit, "UTC"), _moments(unit, is_zoned=True)) for unit in PER_SECOND},
    "timestamp us Berlin": (pa.timestamp("us", "Europe/Berlin"), _moments("us", is_zoned=True)),
    "timestamp ns +05:30": (pa.timestamp("ns", "+05:30"), _moments("ns", is_zoned=True)),
    **{f"duration {unit}": (pa.duration(unit), _durations(unit)) for unit in PER_SECOND},
    "null": (pa.null(), _nothing),
    "uuid": (pa.uuid(), _uuid),
    "json": (pa.json_(), _json),
    "bool8": (pa.bool8(), _bool8),
    "opaque": (pa.opaque(pa.binary(), "thing", "vendor"), _bytes),
}  # fmt: skip
LEAVES: Sequence[Leaf] = [Leaf(name, type_, draw) for name, (type_, draw) in _TYPES.items()]
