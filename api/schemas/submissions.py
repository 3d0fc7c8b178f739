"""The body and the answer of a POST of a job. The schema only describes a body; `domain/normalize.py` validates it."""

from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel, Field

from domain.policy import CHOICES, INTEGER_BOUNDS, NULLABLE_POLICY_FIELDS, NUMBER_BOUNDS
from domain.reading import ID, MAX_ITEMS, MAX_LABEL_LENGTH
from domain.spec import OnDuplicate, Policy

_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_LABEL_LENGTH}
_REGIONS = {"type": "array", "items": _NAME, "minItems": 1, "maxItems": MAX_ITEMS}
_MEANINGS = {
    "max_concurrent": "Calls of the job in flight at once, over all workers; null: as many as its providers take.",
    "queue_timeout_seconds": "Its batches of cells that haven't begun so long after it was queued fail; null: never.",
    "delivery": "`at_most_once`: a call that ended ambiguously isn't repeated; its cell becomes `unknown`.",
    "on_paused": "Whether a spec that names a paused region or provider is refused, or waits to be resumed.",
    "incomplete": "What an answer is that was cut, filtered or refused: `completed` with `is_complete: false`,"
    " `failed`, or asked for again while there are attempts left.",
}


def _policy_member(name: str) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if name in CHOICES:
        described["enum"] = [choice.value for choice in CHOICES[name]]
    else:
        number = "integer" if name in INTEGER_BOUNDS else "number"
        described["type"] = [number, "null"] if name in NULLABLE_POLICY_FIELDS else number
        described["minimum"], described["maximum"] = {**INTEGER_BOUNDS, **NUMBER_BOUNDS}[name]
    if name not in NULLABLE_POLICY_FIELDS:
        described["default"] = getattr(Policy(), name)
    if name in _MEANINGS:
        described["description"] = _MEANINGS[name]
    return described


_POLICY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {field.name: _policy_member(field.name) for field in fields(Policy)},
}
JOB_SUBMISSION: dict[str, Any] = {
    "type": "object",
    "description": "A spec. The benchmark layout (`benchmark`, or an envelope with `jobspec`) is taken too.",
    "properties": {
        "id": {"type": "string", "pattern": f"^{ID.pattern}$", "description": "Yours, or left out."},
        "kind": {"enum": ["inference"], "default": "inference"},
        "name": {**_NAME, "description": "What you call it; `job` unless given."},
        "models": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ITEMS,
            "items": {
                "oneOf": [
                    _NAME,
                    {
                        "type": "object",
                        "required": ["id"],
                        "properties": {"id": _NAME, "name": _NAME, "provider": _NAME, "regions": _REGIONS},
                    },
                ]
            },
        },
        "regions": {**_REGIONS, "description": "Required here or on every model. Aliases such as `US` are mapped."},
        "questions": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ITEMS,
            "items": {
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {
                        "type": "object",
                        "required": ["id"],
                        "properties": {"id": _NAME, "text": {"type": "string", "minLength": 1}},
                    },
                ]
            },
        },
        "parameters": {"type": "object", "description": "Sent to the provider."},
        "policy": _POLICY,
        "on_duplicate": {"enum": [choice.value for choice in OnDuplicate], "default": OnDuplicate.JOIN},
        "metadata": {"type": "object", "description": "Kept and shown; no effect, not part of the spec's hash."},
    },
}


class JobInShort(BaseModel):
    """A job and where it is shown."""

    id: str
    kind: str
    status: str
    created_at: str = Field(description="RFC 3339, UTC.")
    links: dict[str, str]


class NormalizationNote(BaseModel):
    """One thing understood differently from how it was written. Pointers are RFC 6901."""

    path: str = Field(description="Into the body as it was submitted.")
    action: Literal[
        "dropped_duplicate",
        "canonicalized",
        "defaulted",
        "moved",
        "kept_unused",
        "kept_as_text",
        "contradicted",
        "partly_shown",
        "simulated",
    ]
    from_: str | None = Field(default=None, alias="from")
    to: str | int | None = None
    value: str | None = None
    kept: str | None = None
    detail: str | None = None


class PlannedCounts(BaseModel):
    """How much runs; `executions` counts the planned cells."""

    models: int
    regions: int
    questions: int
    executions: int


class PlannedImportCounts(BaseModel):
    """How much is imported; numbers that need a count of the source are null until the import is coordinated."""

    record_types: int
    levels: int
    waves: int | None
    batches: int | None
    rows: int | None


class NotCounted(BaseModel):
    """Why a record type wasn't counted."""

    code: str = Field(description="As the job would fail with; `count_timeout` after 5 seconds in all.")
    detail: str


class PreviewedRecordType(BaseModel):
    """What a dry run found of a record type: its rows and batches, or why they weren't counted."""

    id: str
    level: int = Field(description="How deep in the graph of dependencies.")
    rows: int | None
    batches: int | None
    detail: str | None = Field(description="What a person should know of its source.")
    error: NotCounted | None


class PreviewedImportCounts(PlannedImportCounts):
    """How much a dry run found; numbers that it couldn't count within 5 seconds are null."""

    by_record_type: list[PreviewedRecordType]


class PreviousJob(BaseModel):
    """A job with the same content that has ended and isn't joined any more."""

    job_id: str
    status: Literal["completed", "partial", "failed", "cancelled"]
    finished_at: str = Field(description="RFC 3339, UTC.")


class DedupDecision(BaseModel):
    """Why this is a new job or not."""

    layer: str | None = Field(description="`submission` where a job was found, null for a new one.")
    reason: str = Field(
        description="`new`, `same_id`, `same_spec_active`, `same_spec_recent`; of a dry run `same_key`."
    )
    matched_on: str | None = Field(description="`id`, `spec_hash`, or of a dry run `idempotency_key`.")
    spec_hash: str = Field(description="Of the content; `GET /jobs?spec_hash=` lists its jobs.")
    times_seen: int = Field(description="How often the job was submitted, this time included.")
    detail: str | None = Field(
        default=None, description="What to do, where the job that the `id` stands for failed or was cancelled."
    )
    previous: PreviousJob | None = Field(
        default=None,
        description="The last job with this content that ended and isn't joined any more: it failed, was cancelled, or"
        " completed too long ago.",
    )


class SubmissionAnswer(BaseModel):
    """The decision about a submission, and the job that runs."""

    outcome: Literal["created", "joined", "planned"]
    job: JobInShort | None = Field(description="Null for a dry run.")
    spec: dict[str, Any] | None = Field(description="As it will run; null once purged.")
    normalization: list[NormalizationNote]
    planned: PlannedCounts | PreviewedImportCounts | PlannedImportCounts
    dedup: DedupDecision
