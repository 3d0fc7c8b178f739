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
    """A decimal number: `1.0` and `1.00` are equal. In a payload it stands as it came, in a key as `of_equals`."""

    __slots__ = ()

    @property
    def of_equals(self) -> str:
        """The digits without zeros at the end of a fraction, and without the sign of zero."""
        return shared_digits(str(self))


class Padded(str):
    """A text of `character(n)`: blanks at its end don't count. In payload and key as `Digits`."""

    __slots__ = ()

    @property
    def of_equals(self) -> str:
        """The text without them."""
        return self.rstrip(" ")


_SPELLED = (Digits, Padded)


def key_text(key: Sequence[str]) -> KeyText:
    """Return the function from a payload to its key's text, None where a part is missing.

    The key of one column is its value as text; of several, their values as a JSON list. Of values that compare equal in
    their source it is the same.
    """
    return _only(key[0], _of_equals) if len(key) == 1 else _several(key, _of_equals)


def spelled_key_text(key: Sequence[str]) -> KeyText:
    """Return the function to the text that was a key's before equal ones had the same: each value as it is spelled."""
    return _only(key[0], _as_it_is) if len(key) == 1 else _several(key, _as_it_is)


def json_text(value: object) -> str:
    """Return a JSON value as text, without blanks."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits; the other is 10x as slow
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


def _of_equals(value: Any) -> Any:
    """Return the JSON value that all values have which compare equal to this one."""
    if isinstance(value, _SPELLED):
        return value.of_equals
    if type(value) is float:
        return value + 0.0  # -0.0 becomes 0.0
    if type(value) is list:
        return [_of_equals(item) for item in value]
    if type(value) is dict:
        return {name: _of_equals(item) for name, item in value.items()}
    return value
