"""Durations as people write them: `90d`, `12h`, `15m`, `30s`; at most 99,999 days or hours, 270 years."""

import re

PATTERN = r"^[1-9][0-9]{0,4}[dhms]$"
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def seconds_of(text: str) -> int:
    """Return the seconds of a duration. Raises ValueError for a text of another form."""
    if re.fullmatch(PATTERN.strip("^$"), text, re.ASCII) is None:
        raise ValueError(text)
    return int(text[:-1]) * _SECONDS[text[-1]]
