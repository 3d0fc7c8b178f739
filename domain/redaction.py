"""Secrets in JSON and in text, by the names of members and by their form: what is shown never holds them.

A name hides whatever value it has. A form hides the part of a text that has it: keys that are known by theirs
(`hide_tokens`), and what stands as a secret in a URL or a header (`hide_secrets`).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from domain.notes import point

REDACTED = "[redacted]"
TOKEN_CHARACTERS = 16
"""No text that `hide_tokens` changes is shorter."""
_LONGEST_NAME = 100
_WORDS = frozenset(
    [
        *("authorization", "cookie", "credential", "credentials", "mnemonic", "passphrase", "passwd", "password"),
        *("passwords", "pwd", "secret", "secrets"),
    ]
)
_ENDS = ("token", "accesskey", "apikey", "encryptionkey", "privatekey", "publickey", "secretkey", "signingkey")
_ENDS_TOO = ("password", "clientsecret", "seedphrase", "recoveryphrase")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_TOKENS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        sk-(?=[A-Za-z_-]{0,40}[0-9])[A-Za-z0-9_-]{16,}
      | [rs]k_(?:live|test)_[A-Za-z0-9]{16,}
      | bw_[0-9a-z]{12}_[0-9A-Za-z]{20,}
      | gh[opsur]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{20,}
      | (?:AKIA|ASIA)[0-9A-Z]{16}
      | AIza[0-9A-Za-z_-]{35}
      | hf_[A-Za-z0-9]{30,} | gsk_[A-Za-z0-9]{20,} | xai-[A-Za-z0-9]{20,}
      | xox[abeprs]-[A-Za-z0-9-]{16,}
      | (?<![_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    )
    | -----BEGIN\ (?:[A-Z0-9]{1,20}\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----
      (?:.*?-----END\ (?:[A-Z0-9]{1,20}\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----|.*)
    """,
    re.VERBOSE | re.DOTALL,
)
_URL_PASSWORD = re.compile(r"(?P<before>://[^\s/?#@:\"']*:)(?![<{]|\$\{|\*+@)[^\s/?#@\"']+(?=@)")
"""Not what stands for a password: `<password>`, `${PASSWORD}`, `***`."""
_URL_PARAMETER = re.compile(r"(?P<before>[?&;](?P<name>[A-Za-z0-9_.~%-]{1,100})=)(?P<value>[^\s&;#\"'<>]+)")
_PARAMETERS = frozenset(("auth", "key", "sig"))
"""Further names that hide the value of a URL's parameter; in JSON they name other things, too."""
_HEADER = re.compile(
    r"(?P<before>\b(?:authorization\s{0,3}[:=]\s{0,3}[a-z]{1,20}\s{1,3}|bearer\s{1,3}(?=[^\s0-9]{0,40}[0-9])))"
    r"[A-Za-z0-9._~+/=_-]{8,}",
    re.IGNORECASE,
)


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


def redacted(value: Any) -> Any:
    """Return the JSON value with secrets replaced by `[redacted]`; the same object if it holds none.

    Also for the body as it was submitted, before it is stored or shown. Safe to repeat. Expects the bounded depth of a
    body that was read.
    """
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return _redacted_object(value)
    if isinstance(value, list):
        members = [redacted(member) for member in value]
        return members if any(_differ(new, old) for new, old in zip(members, value, strict=True)) else value
    return value


def hide_secrets(text: str) -> str:
    """Return the text without keys, and without what stands as a secret in a URL or a header."""
    text = hide_tokens(text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\g<before>{REDACTED}", text)
    if "=" in text:
        text = _URL_PARAMETER.sub(_hidden_parameter, text)
    if "earer " in text or "uthorization" in text:
        text = _HEADER.sub(rf"\g<before>{REDACTED}", text)
    return text


def hide_tokens(text: str) -> str:
    """Return the text without keys that are known by their form."""
    if len(text) < TOKEN_CHARACTERS:
        return text
    # Each form has one of these: most texts of a body aren't searched any further.
    if "-" in text or "_" in text or "eyJ" in text or "AKIA" in text or "ASIA" in text or "AIza" in text:
        return _TOKENS.sub(REDACTED, text)
    return text


def is_secret_parameter(name: str) -> bool:
    """Say whether a URL's parameter of this name is redacted."""
    return name.casefold() in _PARAMETERS or is_secret(name)


def _hidden_parameter(found: re.Match[str]) -> str:
    return f"{found['before']}{REDACTED}" if is_secret_parameter(found["name"]) else found[0]


def _redacted_object(members: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, member in members.items():
        new = REDACTED if is_secret(name) else redacted(member)
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
