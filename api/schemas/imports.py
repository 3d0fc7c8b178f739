"""The body of a POST of an import. This schema only describes it; `domain/import_reading.py` validates it."""

from typing import Any

from domain.import_policy import COUNT_BOUNDS, INTEGER_BOUNDS
from domain.import_spec import ImportPolicy
from domain.reading import ID, MAX_ITEMS, MAX_LABEL_LENGTH
from domain.record_types import MAX_KEY_COLUMNS
from domain.sources.registry import SOURCES
from domain.sources.source import Source

_ID = {"type": "string", "pattern": f"^{ID.pattern}$"}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_LABEL_LENGTH}
_DEFAULTS = ImportPolicy().to_json()
_MEANINGS = {
    "batch_size": "Rows of a batch.",
    "batches_per_wave": "Batches of a wave, at most.",
    "max_concurrent": "Batches of the job at work at once, over all workers.",
    "count_timeout_seconds": "How long the COUNT of one record type may take.",
    "max_rejects": "Rows of one batch that may be refused before it fails.",
    "max_attempts": "Tries of one batch.",
}
_NUMBERS = {
    **{name: ("integer", bounds) for name, bounds in INTEGER_BOUNDS.items()},
    "count_timeout_seconds": ("number", COUNT_BOUNDS),
}


def _object(properties: dict[str, Any], *, required: list[str]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _source(source: type[Source]) -> dict[str, Any]:
    return _object({"type": {"const": source.type_name}, **source.schemas}, required=["type", *source.schemas])


_SOURCE = {"oneOf": [_source(source) for source in SOURCES]}
_POLICY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {
            "type": number,
            "minimum": low,
            "maximum": high,
            "default": _DEFAULTS[name],
            "description": _MEANINGS[name],
        }
        for name, (number, (low, high)) in _NUMBERS.items()
    },
}
_RECORD_TYPE = _object(
    {
        "id": _ID,
        "key": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_KEY_COLUMNS,
            "uniqueItems": True,
            "items": _NAME,
            "description": "The columns that tell its rows apart, as the source spells them.",
        },
        "source": _SOURCE,
        "depends_on": {
            "type": "array",
            "maxItems": MAX_ITEMS,
            "items": _ID,
            "description": "Record types that are loaded before it. Duplicates are dropped; a cycle is refused.",
        },
    },
    required=["id", "key", "source"],
)
IMPORT_SUBMISSION: dict[str, Any] = {
    "description": "An import. Its record types are loaded in waves, each after the record types that it depends on.",
    **_object(
        {
            "id": {**_ID, "description": "Yours, or left out."},
            "kind": {"const": "import"},
            "name": {**_NAME, "description": "What you call it; the dataset unless given."},
            "dataset": {**_NAME, "description": "What its rows are kept under; the name unless given."},
            "record_types": {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": _RECORD_TYPE},
            "policy": _POLICY,
            "on_duplicate": {"enum": ["join", "reject", "create"], "default": "join"},
            "metadata": {"type": "object", "description": "Kept and shown; no effect, not part of the spec's hash."},
        },
        required=["kind", "record_types"],
    ),
    "anyOf": [{"required": ["name"]}, {"required": ["dataset"]}],
}
