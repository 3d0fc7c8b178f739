"""Refuse JSON that parses but can't be stored, hashed or answered: bad characters, huge numbers, deep nesting.

One walk without pointers decides (it runs in each POST); only a body that fails it is walked again to say where.
"""

from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import TypeAlias
from unicodedata import normalize as normalize_unicode

from domain.errors import FieldError, SpecRejected
from domain.notes import MAX_ERRORS, point

MAX_DEPTH = 64
"""Levels of nested lists and objects; real specs have 6. This bounds any later recursion over a body."""

MAX_VALUES = 50_000
"""Values in one body. The largest spec has 200 models of 200 regions each, 41,000; a walk over these takes 0.05 s."""

INTEGER_LIMIT = 2**63
"""The limit of PostgreSQL's bigint and of most JSON readers."""


def refuse_unstorable(body: object) -> None:
    """Raise `SpecRejected` with an error for each value that can't be stored, at most `MAX_ERRORS` of them."""
    if is_storable(body):
        return
    if _has_too_many_values(body):
        detail = f"Give at most {MAX_VALUES} values in all, those inside lists and objects included."
        raise SpecRejected([FieldError("", "too_many_values", detail, {"limit": MAX_VALUES})])
    raise SpecRejected(list(islice(_errors(body), MAX_ERRORS)))


def is_storable(body: object) -> bool:
    """Say whether the body's keys, texts and numbers can be stored, and are within the bounds of depth and count."""
    keys: list[str] = []
    texts: list[str] = []
    level = [body]
    count = 0
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if count > MAX_VALUES:
            return False
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, dict):
                keys.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif not _is_storable_number(value):
                return False
        if not below:
            return _are_plain_keys("".join(keys), body) and _is_storable_text("".join(texts))
        level = below
    return False


def _is_storable_number(value: object) -> bool:
    if isinstance(value, int):
        return -INTEGER_LIMIT <= value < INTEGER_LIMIT
    return not isinstance(value, float) or isfinite(value)


def _is_storable_text(text: str) -> bool:
    """Say whether the text has neither NUL nor a lone surrogate, which UTF-8 can't encode."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_plain_keys(joined: str, body: object) -> bool:
    """Say whether the keys are storable and none equals its neighbour in another Unicode form."""
    if joined.isascii():
        return "\0" not in joined
    return next(_errors(body), None) is None


def _has_too_many_values(body: object) -> bool:
    """Count the values down to MAX_DEPTH; deeper values are refused for their depth."""
    level = [body]
    count = 1
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            if count + len(below) > MAX_VALUES:
                return True
        count += len(below)
        level = below
    return False


Place: TypeAlias = "tuple[Place, str | int] | None"
"""The place of a value: its container's place and its name there; None for the body itself."""


def _errors(body: object) -> Iterator[FieldError]:
    """Yield an error for each value that can't be stored; a pointer is built only for an error."""
    stack: list[tuple[object, Place, int]] = [(body, None, 0)]
    while stack:
        value, at, depth = stack.pop()
        if isinstance(value, (dict, list)) and depth < MAX_DEPTH:
            duplicates = _duplicate_keys(value)
            for name, member in reversed(_members(value)):
                if isinstance(name, str) and (detail := _key_problem(name, duplicates)):
                    yield FieldError(_pointer((at, name)), *detail)
                if isinstance(member, (dict, list)):
                    if member or depth + 1 == MAX_DEPTH:
                        stack.append((member, (at, name), depth + 1))
                elif _value_problem(member):
                    stack.append((member, (at, name), depth + 1))
        elif problem := _value_problem(value):
            yield FieldError(_pointer(at), *problem)


def _pointer(at: Place) -> str:
    return "" if at is None else point(_pointer(at[0]), at[1])


def _members(container: dict[str, object] | list[object]) -> list[tuple[str | int, object]]:
    return list(container.items()) if isinstance(container, dict) else list(enumerate(container))


def _duplicate_keys(container: dict[str, object] | list[object]) -> set[str]:
    """Return the keys that differ from an earlier key only in their Unicode form."""
    if isinstance(container, list) or "".join(container).isascii():
        return set()
    seen: set[str] = set()
    duplicates: set[str] = set()
    for name in container:
        composed = normalize_unicode("NFC", name)
        (duplicates if composed in seen else seen).add(composed if composed not in seen else name)
    return duplicates


def _key_problem(name: str, duplicates: set[str]) -> tuple[str, str] | None:
    if not _is_storable_text(name):
        return "invalid_character", "Take NUL characters and lone surrogates out of this name."
    if name in duplicates:
        return "duplicate_key", "Give this name once: another name here is the same text in another Unicode form."
    return None


def _value_problem(value: object) -> tuple[str, str] | None:
    """Return code and detail of the error for a value other than a container within the allowed depth."""
    if isinstance(value, str):
        text_detail = "Take NUL characters and lone surrogates out of this text."
        return None if _is_storable_text(value) else ("invalid_character", text_detail)
    if isinstance(value, dict | list):
        return "too_deep", f"Nest lists and objects at most {MAX_DEPTH} deep."
    if _is_storable_number(value):
        return None
    return "number_too_large", "Give a finite number; integers must lie between -2^63 and 2^63 - 1."
