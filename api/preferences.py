"""The `Prefer` header (RFC 7240): what a client would like, and what of it was done. No I/O."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.request import parse_http_list

APPLIED = "Preference-Applied"
MAX_WAIT_SECONDS = 60
_SECONDS = re.compile(r'("?)0*([0-9]+)\1', re.ASCII)
PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N`: answer once the job has ended, or after N seconds ({MAX_WAIT_SECONDS} at most). Other"
    " preferences, and a number of seconds that is none, are ignored.",
    "schema": {"type": "string"},
    "example": "wait=5",
}
PREFERENCE_APPLIED: dict[str, Any] = {
    "description": "`wait=N` if the answer waited as `Prefer` asked, for N seconds at most.",
    "schema": {"type": "string"},
    "example": "wait=5",
}


def read_wait(headers: Sequence[str]) -> int | None:
    """Return for how many seconds an answer may wait, by the `Prefer` headers of its request; None if it may not.

    The first `wait` counts. Seconds beyond MAX_WAIT_SECONDS are as many as these.
    """
    for preference in parse_http_list(",".join(headers)):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return None if seconds is None else _bounded(seconds[2])
    return None


def applied(seconds: int) -> dict[str, str]:
    """Return the header of an answer that waited as asked."""
    return {APPLIED: f"wait={seconds}"}


def _bounded(digits: str) -> int:
    return MAX_WAIT_SECONDS if len(digits) > len(str(MAX_WAIT_SECONDS)) else min(int(digits), MAX_WAIT_SECONDS)
