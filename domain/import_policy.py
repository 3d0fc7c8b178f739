"""Read how an import runs, with its bounds."""

from collections.abc import Mapping
from typing import Any

from domain.batch_counts import MAX_BATCH_SIZE
from domain.import_fields import MISPLACED_IN_POLICY, POLICY_FIELDS, POLICY_HOMES
from domain.import_spec import ImportPolicy
from domain.notes import Findings, Part
from domain.policy import MAX_ATTEMPTS, MAX_CALL_SECONDS, MAX_CONCURRENT, MIN_SECONDS
from domain.reading import read_integer, read_number, read_object, refuse_misplaced, refuse_unknown

MAX_BATCHES_PER_WAVE = 10_000
MAX_REJECTS = 1_000_000
INTEGER_BOUNDS: Mapping[str, tuple[int, int]] = {
    "batch_size": (1, MAX_BATCH_SIZE),
    "batches_per_wave": (1, MAX_BATCHES_PER_WAVE),
    "max_concurrent": (1, MAX_CONCURRENT),
    "max_rejects": (0, MAX_REJECTS),
    "max_attempts": (1, MAX_ATTEMPTS),
}
COUNT_BOUNDS = (MIN_SECONDS, MAX_CALL_SECONDS)
"""Seconds that the COUNT of one record type may take."""


def read_import_policy(part: Part | None, findings: Findings) -> ImportPolicy:
    """Return the policy with defaults for absent fields; null is refused, since nothing is unlimited."""
    if part is None:
        return ImportPolicy()
    members = read_object(part, findings)
    refuse_misplaced(members, MISPLACED_IN_POLICY, part.at, findings)
    refused = MISPLACED_IN_POLICY.keys()
    refuse_unknown(members, POLICY_FIELDS, part.at, findings, homes=POLICY_HOMES, refused=refused)
    read: dict[str, Any] = {
        name: _read_member(name, Part(value, f"{part.at}/{name}"), findings)
        for name, value in members.items()
        if name in POLICY_FIELDS
    }
    return ImportPolicy(**{name: value for name, value in read.items() if value is not None})


def _read_member(name: str, part: Part, findings: Findings) -> int | float | None:
    if name in INTEGER_BOUNDS:
        return read_integer(part, *INTEGER_BOUNDS[name], findings)
    return read_number(part, *COUNT_BOUNDS, findings)
