"""The JSON of an answer, whole or cut, and the part of it that is kept beside the result."""

import codecs
import json
from dataclasses import dataclass
from typing import Any

import orjson

from domain.outcome import KeptResponse, storable
from worker.providers.keys import Keys

RESPONSE_BYTES = 2**20
"""The most that is kept of an answer, a larger one as text; the log probabilities of a long answer fit."""
MAX_NESTING = 100
"""Deeper values are kept as text, too: JSON parsers have different limits of depth."""
_MAX_INTEGER = 2**63
_CUT_NUMBERS = frozenset({".", "e", "E", "e+", "e-", "E+", "E-"})
_CUT_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")


class EndedEarly(ValueError):
    """The JSON is cut off: the provider meant to send more."""


@dataclass(frozen=True, slots=True)
class Document:
    """The JSON of an answer: `value` to read, `whole` to keep."""

    value: Any
    whole: Any


def parse(body: bytes) -> Any:
    """Return the value of a JSON text; raises EndedEarly for a cut text, ValueError for anything else.

    Parsing is lenient, since an answer is paid for: a model cut off within a character leaves a lone surrogate, and
    some servers write `NaN`.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # Part of a last character is due to the cut, and no other error.
    text = codecs.getincrementaldecoder(json.detect_encoding(body))("surrogatepass").decode(body)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if _is_cut(text, error):
            raise EndedEarly("The JSON stops in the middle.") from None
        raise
    except RecursionError:
        raise ValueError("too deep") from None


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Say whether a text is JSON that was cut off: the only error is at its end."""
    rest = text[error.pos :].strip()
    is_escape_cut = "escape" in error.msg and len(rest) < len("\\u0000")
    is_open_text = error.msg.startswith("Unterminated string") or is_escape_cut
    is_open_number = rest in _CUT_NUMBERS
    return not rest or is_open_text or is_open_number or any(literal.startswith(rest) for literal in _CUT_LITERALS)


def kept_response(whole: Any, body: bytes, keys: Keys) -> KeptResponse:
    """Return the part of an answer's JSON to keep: all of it, or its beginning as text, without keys.

    Characters that the database can't hold are replaced. Changes `whole`.
    """
    if _is_nested(whole, MAX_NESTING):
        return _shortened(keys.hide(body.decode("utf-8", "replace")), body)
    whole = keys.hide_in(whole)
    try:
        text = orjson.dumps(whole).decode()
    except TypeError:  # a lone surrogate, or a number beyond the range of other JSON parsers
        text = orjson.dumps(_storable(whole)).decode()
    return KeptResponse(len(body), text) if len(text) <= RESPONSE_BYTES else _shortened(text, body)


def kept_beginning_of(body: bytes, keys: Keys) -> KeptResponse:
    """Return the part to keep of an answer that was too large to be read, without keys."""
    return _shortened(keys.hide_beginning(body[: 2 * RESPONSE_BYTES].decode("utf-8", "replace")), body)


def _shortened(text: str, body: bytes) -> KeptResponse:
    beginning = text.encode("utf-8", "replace")[:RESPONSE_BYTES].decode("utf-8", "ignore")
    shown = {"truncated": True, "bytes": len(body), "text": storable(beginning)}
    return KeptResponse(len(body), orjson.dumps(shown).decode())


def _storable(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case dict():
            return {_storable(name): _storable(member) for name, member in value.items()}
        case list():
            return [_storable(member) for member in value]
        case int() if abs(value) >= _MAX_INTEGER:
            return str(value)
        case _:
            return value


def _is_nested(value: Any, levels: int) -> bool:
    """Say whether a value has more than `levels` levels."""
    members = [value]
    for _ in range(levels):
        members = [
            inner
            for member in members
            if isinstance(member, dict | list)
            for inner in (member.values() if isinstance(member, dict) else member)
        ]
        if not members:
            return False
    return any(isinstance(member, dict | list) for member in members)
