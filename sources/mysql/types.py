"""How values of MySQL's types travel, become JSON, and stand in conditions on a key."""

import base64
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeAlias

from domain.key_forms import KeyForm
from sources.values import CONVERT, Kind, NotJson, parse_json, to_digits, to_json_value, to_number

Convert: TypeAlias = Callable[[bytes], Any]
"""From a value as the server sends it to a JSON value; raises NotJson where there is none."""
NO_DATE = "is no date or time between the years 0001 and 9999"
SAFE_CHARSETS = {"utf8mb4", "utf8mb3", "utf8", "ascii", "latin1"}
"""Those of which every text that a column may hold becomes UTF-8 as it is."""
_TIME = re.compile(r"-?\d+:\d\d:\d\d(\.\d+)?")
_WIDTH = re.compile(r"bit\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Part:
    """How a column stands in conditions on the key: `export` gives a value as text, which `literal` writes again.

    A value that doesn't match `pattern` isn't written.
    """

    export: str
    literal: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Carried:
    """How a column's values are read: `template` makes an expression of a name, `convert` JSON of its value.

    As parts of a key they may be spelled as `key_form` says, and `convert_key` converts them so that the key knows.
    Without `part` they can't be one.
    """

    convert: Convert
    template: str = "{0}"
    part: Part | None = None
    key_form: KeyForm = KeyForm.EXACT
    convert_key: Convert | None = None


def carried(data_type: str, column_type: str, charset: str | None, collation: str | None, *, is_json: bool) -> Carried:
    """Return how a column of this type travels, by the catalog's words; `is_json` if a constraint says that it is."""
    if is_json:
        return replace(_text_in(charset or "utf8mb4", collation or ""), convert=_json)
    if data_type == "bit":
        width = _WIDTH.fullmatch(column_type)
        return Carried(_bits(int(width[1]) if width else 1), part=_NUMBER)
    known = _CARRIED.get(data_type)
    if known is not None:
        return known
    if charset is None or collation is None:
        return Carried(_text)
    return _text_in(charset, collation)


def _text_in(charset: str, collation: str) -> Carried:
    part = Part("HEX({0})", f"_{charset} X'{{0}}' COLLATE {collation}", "[0-9A-F]*")
    if charset in SAFE_CHARSETS:
        return Carried(_text, part=part)
    # Characters outside Unicode would become `?`. An invalid UTF-8 byte replaces them, and rejects the row.
    unicode = "CONVERT({0} USING utf8mb4)"
    is_same = f"CAST(CONVERT({unicode} USING {charset}) AS BINARY) = CAST({{0}} AS BINARY)"
    template = f"CASE WHEN {is_same} THEN CAST({unicode} AS BINARY) WHEN {{0}} IS NOT NULL THEN X'FF' END"
    return Carried(_text, template=template, part=part)


def _text(value: bytes) -> Any:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise NotJson("isn't valid text in the character set of its column") from None
    return CONVERT[Kind.TEXT](text)


def _integer(value: bytes) -> Any:
    return to_json_value(int(value))


def _double(value: bytes) -> Any:
    return CONVERT[Kind.FLOAT](float(value))


def _single(value: bytes) -> Any:
    """Return the shortest digits that mean this float of 32 bits, given as the double of the same value."""
    number = float(value)
    packed = struct.pack("<f", number)
    for digits in range(6, 10):
        shortest = float(f"{number:.{digits}g}")
        if struct.pack("<f", shortest) == packed:
            return CONVERT[Kind.FLOAT](shortest)
    return number


def _bits(width: int) -> Convert:
    return lambda value: f"{int.from_bytes(value):0{width}b}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _json(value: bytes) -> Any:
    return parse_json(value)


def _date(value: bytes) -> str:
    text = value.decode()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:  # zeros, and days that no month has
        raise NotJson(NO_DATE) from None


def _datetime(value: bytes) -> str:
    day, _, time = value.partition(b" ")
    return f"{_date(day)}T{_trimmed(time.decode())}"


def _timestamp(value: bytes) -> str:
    return f"{_datetime(value)}+00:00"


def _time(value: bytes) -> str:
    text = value.decode()
    if not _TIME.fullmatch(text):
        raise NotJson(NO_DATE)
    return _trimmed(text)


def _trimmed(time: str) -> str:
    """Return a time without zeros at the end of its fraction."""
    return time.rstrip("0").rstrip(".") if "." in time else time


def _decimal(value: bytes) -> str:
    return to_number(value.decode())


def _digits(value: bytes) -> str:
    return to_digits(value.decode())


_NUMBER = Part("CAST({0} AS UNSIGNED)", "{0}", r"\d+")
_MOMENT = r"[\d:. -]+"
_FLOAT = Part("CAST({0} AS DOUBLE)", "CAST('{0}' AS DOUBLE)", r"-?[\d.]+(e[+-]?\d+)?")
_BYTES = Carried(_base64, part=Part("HEX({0})", "X'{0}'", "[0-9A-F]*"))
_CARRIED: Mapping[str, Carried] = {
    **dict.fromkeys(
        ["tinyint", "smallint", "mediumint", "int", "bigint", "year"],
        Carried(_integer, part=Part("{0}", "{0}", r"-?\d+")),
    ),
    "decimal": Carried(
        _decimal, part=Part("{0}", "{0}", r"-?\d+(\.\d+)?"), key_form=KeyForm.DIGITS, convert_key=_digits
    ),
    "double": Carried(_double, "CAST({0} AS DOUBLE)", part=_FLOAT, key_form=KeyForm.FLOAT),
    # The server shows six digits of it; as a double it is all there.
    "float": Carried(_single, "CAST({0} AS DOUBLE)", part=_FLOAT, key_form=KeyForm.FLOAT),
    "date": Carried(_date, part=Part("{0}", "CAST('{0}' AS DATE)", _MOMENT)),
    "datetime": Carried(_datetime, part=Part("{0}", "CAST('{0}' AS DATETIME(6))", _MOMENT)),
    "timestamp": Carried(_timestamp, part=Part("{0}", "CAST('{0}' AS DATETIME(6))", _MOMENT)),
    "time": Carried(_time, part=Part("{0}", "CAST('{0}' AS TIME(6))", _MOMENT)),
    "enum": Carried(_text, part=_NUMBER),
    "set": Carried(_text),
    "json": Carried(_json),
    **dict.fromkeys(["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"], _BYTES),
    **dict.fromkeys(
        [
            *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
            *("geometrycollection", "geomcollection", "vector"),
        ],
        Carried(_base64),
    ),
    "uuid": Carried(_text, part=Part("CAST({0} AS CHAR)", "CAST('{0}' AS UUID)", "[0-9a-f-]+")),
    "inet4": Carried(_text, part=Part("CAST({0} AS CHAR)", "CAST('{0}' AS INET4)", r"[\d.]+")),
    "inet6": Carried(_text, part=Part("CAST({0} AS CHAR)", "CAST('{0}' AS INET6)", r"[\da-f.:]+")),
}
"""By the catalog's name of a type; those that aren't here are text in their column's character set."""
