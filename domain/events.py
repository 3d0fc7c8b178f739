"""The types of events in a job's timeline, each with a description for its readers."""

from collections.abc import Mapping

EVENT_TYPES: Mapping[str, str] = {
    "submitted": "a request was answered with it: created, joined or replayed",
    "held": "a pause, an open circuit breaker or a configuration began to keep work of it from starting",
    "released": "what held it ceased to",
    "coordinating": "a worker began to find out what an import holds",
    "coordination_put_off": "a source was unavailable, and the import is tried again later",
    "coordinated": "it was planned",
    "progressed": "results came in",
    "finished": "so did the last one, or it could not be planned",
    "cancelled": "a person ended it",
    "retried": "a person let what failed run again",
    "resolved": "a person said how a call ended",
    "lease_released": "a person took a batch from its worker",
    "accepted_anew": "a configuration was applied that names other providers or sources for it",
}
"""The descriptions by type. The database knows the same types, and refuses others."""
EVENT_TYPES_IN_WORDS = " ".join(f"`{name}`: {meaning}." for name, meaning in EVENT_TYPES.items())
