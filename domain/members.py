"""Read the members that a spec of any kind has: its id, its metadata and what to do with a duplicate."""

from collections.abc import Mapping
from typing import Any

from domain.notes import Action, Findings, Note, Part
from domain.reading import read_choice, read_id, read_object
from domain.redaction import redacted, secret_pointers
from domain.spec import OnDuplicate


def read_job_id(part: Part | None, findings: Findings) -> str | None:
    """Return the client's id; None if it gave none."""
    return None if part is None else read_id(part, findings)


def read_metadata(part: Part | None, findings: Findings) -> Mapping[str, Any]:
    """Return the metadata, secrets redacted; what else was read from it stays in it."""
    if part is None:
        return {}
    metadata = read_object(part, findings)
    kept: Mapping[str, Any] = redacted(metadata)
    if kept is not metadata:
        detail = "It is a secret: kept as `[redacted]`."
        secrets = secret_pointers(metadata, part.at)
        findings.notes.extend(Note(Action.KEPT_UNUSED, at, detail=detail) for at in secrets)
    return kept


def read_on_duplicate(part: Part | None, findings: Findings) -> OnDuplicate:
    """Return what to do when the same spec is active or recent; `join` unless given."""
    if part is None:
        return OnDuplicate.JOIN
    return read_choice(part, OnDuplicate, findings) or OnDuplicate.JOIN
