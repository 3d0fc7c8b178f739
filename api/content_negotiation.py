"""Content negotiation: which of the offered media types an Accept header prefers (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_RANGE = re.compile(r"([\w!#$%&'*+.^`|~-]+)/([\w!#$%&'*+.^`|~-]+)", re.ASCII)
_NOT_AT_ALL = (0.0, 0)
_QUALITY = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?", re.ASCII)


class _Range(NamedTuple):
    exactness: int
    pattern: str
    quality: float


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """Return the offered type that the header's value prefers, or None if it accepts none of them.

    A blank value takes anything. Of equally preferred types, a named type precedes one that `*` covers,
    then the type offered first. Parameters other than `q` are ignored. A malformed range takes nothing.
    """
    if not accept.strip():
        return offered[0]
    ranges = [found for part in accept.split(",") if (found := _read(part))]
    best = max(offered, key=lambda media_type: _preference(media_type, ranges))  # the first of equals
    return best if _preference(best, ranges) > _NOT_AT_ALL else None


def _preference(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int]:
    """Return the quality of a type, and how exactly the deciding range names it; the most exact range decides."""
    main = media_type.partition("/")[0]
    matching = [each for each in ranges if each.pattern in {media_type, f"{main}/*", "*/*"}]
    best = max(matching, default=_Range(0, "", 0.0), key=lambda each: (each.exactness, each.quality))
    return (best.quality, best.exactness) if best.quality else _NOT_AT_ALL


def _read(part: str) -> _Range | None:
    """Parse a range of the header; None if it is malformed."""
    pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
    match = _RANGE.fullmatch(pattern)
    if match is None or (match[1] == "*" and match[2] != "*"):
        return None
    quality = "1"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = value.strip()
    if not _QUALITY.fullmatch(quality):
        return None
    return _Range(2 - (match[1] == "*") - (match[2] == "*"), pattern, float(quality))
