"""Read the members of specs of any kind: id, metadata and `on_duplicate`."""

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
    """Return the metadata with secrets redacted; members that were read as spec fields stay in it."""
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
    """Return `on_duplicate`; `join` unless given."""
    if part is None:
        return OnDuplicate.JOIN
    return read_choice(part, OnDuplicate, findings) or OnDuplicate.JOIN
