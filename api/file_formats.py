"""Formats of downloaded lists: JSON lines, or CSV without formulas that a spreadsheet would run."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

_QUOTED = re.compile(r'[",;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]')
"""What has to be quoted, and what a reader may take for a separator or a line end too: what follows would be a cell."""
_ACTIVE = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n']")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


class FileFormat(NamedTuple):
    """A format of a downloaded list. `head` is the text before the first line."""

    media_type: str
    description: str
    ending: str
    head: str
    line: Callable[[Any], str]


def csv_record(values: Sequence[Any]) -> str:
    """Return these values as a record of RFC 4180 without formulas."""
    return ",".join(map(_field, values)) + "\r\n"


def _field(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case dict():
            return _quoted(orjson.dumps(value).decode())
        case str():
            return _quoted(f"'{value}" if _ACTIVE.match(value) and not _NUMBER.fullmatch(value) else value)
        case _:
            return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text
