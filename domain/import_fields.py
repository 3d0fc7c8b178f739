"""The fields of an import, the right places of misplaced fields, and why some fields can't be part of an import.

Tables only. The right places are pointers below the object that the table is for.
"""

from collections.abc import Mapping

from domain.import_spec import ImportPolicy
from domain.sources.registry import SOURCES

POLICY_FIELDS = frozenset(ImportPolicy.__dataclass_fields__)
TOP_FIELDS = frozenset({"id", "kind", "name", "dataset", "record_types", "policy", "on_duplicate", "metadata"})
RECORD_TYPE_FIELDS = frozenset({"id", "key", "source", "depends_on"})
SOURCE_FIELDS: Mapping[str, frozenset[str]] = {
    source.type_name: frozenset({"type", *source.schemas}) for source in SOURCES
}

_POLICY_SYNONYMS = {
    "concurrency": "max_concurrent",
    "timeout": "count_timeout_seconds",
    "retries": "max_attempts",
    "max_retries": "max_attempts",
    "attempts": "max_attempts",
    "chunk_size": "batch_size",
    "wave_size": "batches_per_wave",
}
POLICY_HOMES = {
    **{synonym: f"/policy/{name}" for synonym, name in _POLICY_SYNONYMS.items()},
    "on_duplicate": "/on_duplicate",
}
TOP_HOMES = {
    **{name: f"/policy/{name}" for name in POLICY_FIELDS},
    **{synonym: f"/policy/{name}" for synonym, name in _POLICY_SYNONYMS.items()},
    "tables": "/record_types",
    "sources": "/record_types",
}
RECORD_TYPE_HOMES = {
    **{name: f"/source/{name}" for fields in SOURCE_FIELDS.values() for name in fields},
    "name": "/id",
    "record_type": "/id",
    "primary_key": "/key",
    "dependencies": "/depends_on",
    "requires": "/depends_on",
}
SOURCE_HOMES = {"kind": "/type", "file": "/path", "filename": "/path"}

_NO_MODELS = "An import asks no models: take it out, or send `kind` as `inference`."
_NO_LAYOUT = "An import has one layout: send its members at the top of the body, without this."
_NO_CALLS = (
    "An import makes no calls that could be limited in time: take it out. `count_timeout_seconds` bounds the COUNT."
)
MISPLACED_IN_POLICY = {
    "delivery": "Rows and the end of their batch commit as one, so there is nothing to choose: take it out.",
    "on_paused": "An import names no region or provider that could be paused: take it out.",
    "min_success_rate": "Any missing row makes an import `partial`: take it out. `max_rejects` bounds refused rows.",
    "timeout_seconds": _NO_CALLS,
    "queue_timeout_seconds": _NO_CALLS,
}
MISPLACED_AT_TOP = {
    **MISPLACED_IN_POLICY,
    **dict.fromkeys(("models", "questions", "parameters"), _NO_MODELS),
    "regions": "An import runs in no region: take it out.",
    **dict.fromkeys(("jobspec", "benchmark", "constraints"), _NO_LAYOUT),
}
MISPLACED_IN_SOURCE = dict.fromkeys(
    ("url", "dsn", "host", "port", "database", "user", "username", "password", "token", "sql", "statement"),
    "A spec carries no addresses, passwords or SQL: take it out, and name a `connection` that the operator configured.",
)
