"""The text of a row's key: what tells its record from others."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

MAX_KEY_CHARACTERS = 500
"""PostgreSQL's indexes hold no entry above some 2,700 bytes, and a key travels in cursors."""


def key_text(key: Sequence[str]) -> Callable[[Mapping[str, Any]], str | None]:
    """Return the function from a payload to its key's text, None where a part is missing.

    The key of one column is its value as text; of several, their values as a JSON list.
    """
    return _only(key[0]) if len(key) == 1 else _several(key)


def json_text(value: object) -> str:
    """Return a JSON value as text, without blanks."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits; the other is 10x as slow
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _only(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    def text_of(payload: Mapping[str, Any]) -> str | None:
        value = payload.get(name)
        return value if value is None or type(value) is str else json_text(value)

    return text_of


def _several(names: Sequence[str]) -> Callable[[Mapping[str, Any]], str | None]:
    def text_of(payload: Mapping[str, Any]) -> str | None:
        values = [payload.get(name) for name in names]
        return None if None in values else json_text(values)

    return text_of
