"""Redact signatures, keys and wallet fields of submitted JSON, which must not be stored or shown."""

from collections.abc import Iterator
from typing import Any

from domain.notes import point

REDACTED = "[redacted]"
_NAMES = frozenset({"public_key", "publickey", "private_key", "privatekey", "api_key", "apikey"})


def is_secret(name: str) -> bool:
    """Say whether a member of this name is redacted: signatures, keys, all about a wallet."""
    if len(name) > 100:  # noqa: PLR2004  no such name is that long, and folding all of it would cost
        return False
    folded = name.casefold()
    return folded in _NAMES or "signature" in folded or folded.startswith("wallet")


def redacted(value: Any) -> Any:
    """Return the JSON value with secrets replaced by `[redacted]`; the same object if it holds none.

    Also for the body as it was submitted, before it is stored or shown. Expects the bounded depth of a body that was
    read.
    """
    if isinstance(value, dict):
        return _redacted_object(value)
    if isinstance(value, list):
        members = [redacted(member) for member in value]
        return members if any(new is not old for new, old in zip(members, value, strict=True)) else value
    return value


def _redacted_object(members: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, member in members.items():
        if isinstance(member, dict | list) and not is_secret(name):
            new = redacted(member)
            if new is not member:
                changed[name] = new
        elif member != REDACTED and is_secret(name):
            changed[name] = REDACTED
    return {**members, **changed} if changed else members


def secret_pointers(value: object, at: str) -> Iterator[str]:
    """Yield pointers to the values that `redacted` replaces, in the order of the body."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        if isinstance(name, str) and is_secret(name):
            if member != REDACTED:
                yield point(at, name)
        elif isinstance(member, dict | list):
            yield from secret_pointers(member, point(at, name))
