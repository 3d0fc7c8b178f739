"""Secrets in JSON and in text, by the names of members and by their form: what is shown never holds them.

A name hides whatever value it has. A form (`domain/secret_forms.py`) hides the part of a text that has it.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from domain.notes import point
from domain.secret_forms import REDACTED, hide_places, hide_tokens

_LONGEST_NAME = 100
_WORDS = frozenset(
    [
        *("authorization", "cookie", "credential", "credentials", "mnemonic", "passphrase", "passwd", "password"),
        *("passwords", "pwd", "secret", "secrets"),
    ]
)
_ENDS = ("token", "accesskey", "apikey", "encryptionkey", "privatekey", "publickey", "secretkey", "signingkey")
_ENDS_TOO = ("accountkey", "password", "clientsecret", "seedphrase", "recoveryphrase")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_PARAMETERS = ("auth", "key", "sig")
"""Further names that hide the value of a URL's parameter; in JSON they name other things, too."""


def _spelled(word: str, between: str = "") -> str:
    """Return a pattern of the word in any case; the whole pattern can't ignore case, since `_alone` tells it."""
    return between.join(f"[{letter}{letter.upper()}]" for letter in word)


def _alone(word: str) -> list[str]:
    """Return patterns of the rest of the word, behind its first letter, where `_WORD` finds it."""
    name, capitals = word.capitalize(), word.upper()
    return [
        f"{word[1:]}(?<={word})(?<![A-Za-z]{word})(?![a-z])",
        f"{name[1:]}(?<={name})(?![a-z])",
        f"{capitals[1:]}(?<![A-Z]{capitals})(?<={capitals})(?![a-z]|[A-Z](?![a-z]))",
    ]


def _secret_parameter() -> re.Pattern[str]:
    """Return the pattern of a parameter whose name `is_secret_parameter` knows, without a call for each name."""
    whole = "|".join(map(_spelled, _PARAMETERS))
    rests = {"s": [_spelled("ignature")]}
    for word in sorted(_WORDS):
        rests.setdefault(word[0], []).extend(_alone(word))
    for end in (*_ENDS, *_ENDS_TOO):
        rests.setdefault(end[0], []).append(f"[_.~%-]*+{_spelled(end[1:], '[_.~%-]*+')}[_.~%-]*+=")
    part = "|".join(f"{_spelled(first)}(?:{'|'.join(rest)})" for first, rest in rests.items())
    return re.compile(
        r"(?P<before>(?:[?&;]\ ?|\\u0026)"
        rf"(?=(?:{whole})=|{_spelled('wallet')}|[A-Za-z0-9_.~%-]*?(?:{part}))"
        rf"[A-Za-z0-9_.~%-]{{1,{_LONGEST_NAME}}}+=)[^\s&;#\"'<>\\]+"
    )


_SECRET_PARAMETER = _secret_parameter()


def is_secret(name: str) -> bool:
    """Say whether a member of this name is redacted: signatures, passwords, tokens, keys, all about a wallet."""
    # No such name is longer, and folding all of it would cost.
    return len(name) <= _LONGEST_NAME and _names_secret(name)


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    folded = name.casefold()
    if "signature" in folded or folded.startswith("wallet"):
        return True
    words = [word.casefold() for word in _WORD.findall(name)]
    return "".join(words).endswith((*_ENDS, *_ENDS_TOO)) or not _WORDS.isdisjoint(words)


def redacted_alike(*values: Any) -> tuple[Any, ...]:
    """Return each JSON value as `redacted` does; a text that several of them hold is searched once."""
    hidden: dict[str, str] = {}

    def hide(text: str) -> str:
        if (found := hidden.get(text)) is None:
            found = hidden[text] = hide_secrets(text)
        return found

    return tuple(_redacted(value, hide) for value in values)


def redacted(value: Any) -> Any:
    """Return the JSON value with secrets replaced by `[redacted]`; the same object if it holds none.

    Also for the body as it was submitted, before it is stored or shown. Safe to repeat. Expects the bounded depth of a
    body that was read.
    """
    return _redacted(value, hide_secrets)


def _redacted(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return _redacted_object(value, hide)
    if isinstance(value, list):
        members = [_redacted(member, hide) for member in value]
        return members if any(_differ(new, old) for new, old in zip(members, value, strict=True)) else value
    return value


def hide_secrets(text: str) -> str:
    """Return the text without keys, and without what stands as a secret in a URL or a header."""
    return hide_places(hide_tokens(text), _SECRET_PARAMETER)


def is_secret_parameter(name: str) -> bool:
    """Say whether a URL's parameter of this name is redacted."""
    return name.casefold() in _PARAMETERS or is_secret(name)


def _redacted_object(members: dict[str, Any], hide: Callable[[str], str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, member in members.items():
        new = REDACTED if is_secret(name) else _redacted(member, hide)
        if _differ(new, member):
            changed[name] = new
    return {**members, **changed} if changed else members


def _differ(new: Any, old: Any) -> bool:
    return new is not old and new != old


def secret_pointers(value: object, at: str) -> Iterator[str]:
    """Yield pointers to the values that `redacted` replaces, in the order of the body."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        is_named = isinstance(name, str) and is_secret(name)
        if isinstance(member, dict | list) and not is_named:
            yield from secret_pointers(member, point(at, name))
        elif _differ(REDACTED if is_named else redacted(member), member):
            yield point(at, name)
