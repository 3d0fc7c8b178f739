"""Weak entity tags: whether a client's copy still says what we would say."""

from hashlib import blake2b


def weak_tag(*facts: object) -> str:
    """Return a tag that changes with any of these facts."""
    digest = blake2b("\0".join(map(str, facts)).encode(), digest_size=12).hexdigest()
    return f'W/"{digest}"'


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Tell whether an If-None-Match header names this tag, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in named or tag.removeprefix("W/") in named
