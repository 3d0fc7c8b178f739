"""The rules of JSON lines, by the JSON reader of Python's standard library: an object per line, or a reject.

A line ends with LF, and blanks around a document mean nothing. A line of nothing but blanks is no record.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from tests.corpus.decoding import NO_TEXT, OTHER_ENCODING, UTF_32, decoded
from tests.corpus.expected import Expected, Record, Refusal, Reject, Row, refused

MAX_DEPTH = 100
"""Lists and objects in each other, the line's own object included."""
WIDEST = 2**63
"""Integers of more than 64 bits arrive as text."""
LONGEST_LINE = 30_000_000
_BLANK = re.compile(r"[ \t\r]*\Z")


def judge_json(content: bytes) -> Expected:
    """Return the result of a strict reader for the decompressed bytes of JSON lines."""
    if content.startswith(UTF_32):
        return refused(OTHER_ENCODING)
    text, refusal = decoded(content)
    records = list(_judged(text))
    if not any(isinstance(record, Row) for record in records):
        refusal = refusal or Refusal("object", is_certain=False)
    if any(isinstance(record, Row) and record.may_be_rejected for record in records):
        refusal = refusal or Refusal(r"line \d", is_certain=False)
    return Expected(None, records, refusal)


def _judged(text: str) -> Iterator[Record]:
    for line, document in enumerate(text.split("\n"), 1):
        if not _BLANK.match(document):
            yield _record(document, line)


def _record(document: str, line: int) -> Record:
    if NO_TEXT.search(document):
        return Reject(line)
    try:
        value = json.loads(
            document, object_pairs_hook=_members, parse_constant=_refuse, parse_int=_integer, parse_float=_double
        )
    except (ValueError, RecursionError):
        return Reject(line)
    if not isinstance(value, dict) or not _can_be_held(value):
        return Reject(line)
    return Row(value, may_be_rejected=len(document) > LONGEST_LINE)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name twice")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _integer(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    value = int(digits)
    return value if -WIDEST <= value < WIDEST else digits


def _double(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("beyond a double")
    return value


def _can_be_held(value: Any, depth: int = 1) -> bool:
    """Say whether a value isn't nested too deeply and all of its text is text that a database takes."""
    if isinstance(value, str):
        return "\0" not in value and not NO_TEXT.search(value)
    if isinstance(value, dict):
        return depth <= MAX_DEPTH and all(
            _can_be_held(name) and _can_be_held(item, depth + 1) for name, item in value.items()
        )
    if isinstance(value, list):
        return depth <= MAX_DEPTH and all(_can_be_held(item, depth + 1) for item in value)
    return True
