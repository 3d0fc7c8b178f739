"""The text of a row's key, which identifies its record. Values that are equal in their source have the same text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from domain.key_forms import shared_digits

KeyText: TypeAlias = Callable[[Mapping[str, Any]], str | None]
MAX_KEY_CHARACTERS = 500
"""PostgreSQL's indexes hold no entry above some 2,700 bytes, and a key travels in cursors."""


class Digits(str):
    """A decimal number: `1.0` and `1.00` are equal. A payload keeps its spelling; a key uses `canonical`."""

    __slots__ = ()

    @property
    def canonical(self) -> str:
        """The digits without zeros at the end of a fraction, and without the sign of zero."""
        return shared_digits(str(self))


class Padded(str):
    """A text of `character(n)`: trailing blanks don't count. A payload keeps them; a key uses `canonical`."""

    __slots__ = ()

    @property
    def canonical(self) -> str:
        """The text without them."""
        return self.rstrip(" ")


_SPELLED = (Digits, Padded)


def key_text(key: Sequence[str]) -> KeyText:
    """Return the function from a payload to its key's text, None where a part is missing.

    The key of one column is its value as text; of several, their values as a JSON list. Of values that compare equal in
    their source it is the same.
    """
    return _only(key[0], _canonical) if len(key) == 1 else _several(key, _canonical)


def spelled_key_text(key: Sequence[str]) -> KeyText:
    """Return the function to the text of a key in older releases: each value as it is spelled."""
    return _only(key[0], _as_it_is) if len(key) == 1 else _several(key, _as_it_is)


def json_text(value: object) -> str:
    """Return a JSON value as text, without blanks."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits; Python's json is 10x as slow
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _only(name: str, shared: Callable[[Any], Any]) -> KeyText:
    def text_of(payload: Mapping[str, Any]) -> str | None:
        value = payload.get(name)
        if value is None or type(value) is str:
            return value
        value = shared(value)
        return value if isinstance(value, str) else json_text(value)

    return text_of


def _several(names: Sequence[str], shared: Callable[[Any], Any]) -> KeyText:
    def text_of(payload: Mapping[str, Any]) -> str | None:
        values = [payload.get(name) for name in names]
        return None if None in values else json_text(shared(values))

    return text_of


def _as_it_is(value: Any) -> Any:
    return value


def _canonical(value: Any) -> Any:
    """Return the JSON value that all equal values share."""
    if isinstance(value, _SPELLED):
        return value.canonical
    if type(value) is float:
        return value + 0.0  # -0.0 becomes 0.0
    if type(value) is list:
        return [_canonical(item) for item in value]
    if type(value) is dict:
        return {name: _canonical(item) for name, item in value.items()}
    return value
