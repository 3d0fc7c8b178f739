"""How pages write moments, ages, counts and bytes: filters of their templates. No I/O."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from markupsafe import Markup

NONE: Final = "–"
"""Stands where there is no value."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))
_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def moment(at: datetime | None) -> str:
    """Return a moment in UTC to the second, for machines too."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S.%f} UTC", f"{at:%Y-%m-%d %H:%M:%S}"
    )


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, in whole seconds."""
    if at is None:
        return NONE
    seconds = max(0, round((now - at).total_seconds()))
    words = f"{seconds} s ago" if seconds < 60 else f"{duration(seconds)} ago"  # noqa: PLR2004 (of a minute)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", words
    )


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: `850 ms`, `12.3 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:  # noqa: PLR2004 (of a minute)
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in (*_UNITS, (1, "s")):
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def count(number: int | None) -> str:
    """Return a count with its digits in groups of three."""
    return NONE if number is None else f"{number:,}"


def size(number: int | None) -> str:
    """Return a count of bytes in the largest binary unit that it fills."""
    if number is None:
        return NONE
    value, unit = float(number), 0
    while value >= _STEP and unit < len(_BYTES) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} {_BYTES[unit]}" if unit == 0 else f"{value:.1f} {_BYTES[unit]}"


def indented(document: Any) -> str:
    """Return a document as indented JSON; a template escapes it."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def prose(text: str) -> Markup:
    """Return a text whose words between backticks are code."""
    return Markup().join(
        Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(text.split("`"))
    )


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "moment": moment,
    "ago": ago,
    "duration": duration,
    "count": count,
    "prose": prose,
    "size": size,
    "indented": indented,
}
