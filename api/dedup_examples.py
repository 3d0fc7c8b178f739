"""Example answers to a POST of a job, for /docs: created, joined, replayed, and refused as a duplicate."""

from typing import Any

_ID = "01a2079501f7c9c2d0db3ff6"
_AT = f"/jobs/{_ID}"
_LINKS = {
    "self": _AT,
    **{part: f"{_AT}/{part}" for part in ("executions", "waves", "coordination", "events", "submissions", "audit")},
}
_JOB: dict[str, Any] = {
    "id": _ID,
    "kind": "inference",
    "status": "queued",
    "created_at": "2026-11-23T08:45:35.579812Z",
    "links": _LINKS,
}
_DEDUP: dict[str, Any] = {
    "layer": None,
    "reason": "new",
    "matched_on": None,
    "spec_hash": "h1:2419ddb8615f1d3105f0148700207afca7cc405f6d27130a25fa3059728f5046",
    "times_seen": 1,
    "detail": None,
    "previous": None,
}
_CREATED: dict[str, Any] = {
    "outcome": "created",
    "job": _JOB,
    "spec": {"id": None, "kind": "inference", "name": "capital-cities"},
    "normalization": [{"path": "/regions/0", "action": "canonicalized", "from": "US", "to": "us-east"}],
    "planned": {"models": 2, "regions": 2, "questions": 2, "executions": 6},
    "dedup": _DEDUP,
}
_PREVIOUS = {"job_id": "01a2078eaa10c9c2d0db3ff6", "status": "cancelled", "finished_at": "2026-11-23T08:41:02.113Z"}
_JOINED = {
    **_DEDUP,
    "layer": "submission",
    "reason": "same_spec_active",
    "matched_on": "spec_hash",
    "times_seen": 2,
}

CREATED_EXAMPLES: dict[str, Any] = {
    "new": {"summary": "Nothing of this content ran before", "value": _CREATED},
    "again": {
        "summary": "The last job of this content was cancelled, so that it runs anew",
        "value": {**_CREATED, "dedup": {**_DEDUP, "previous": _PREVIOUS}},
    },
    "replayed": {
        "summary": "The first answer to the Idempotency-Key again (Idempotent-Replayed: true)",
        "value": _CREATED,
    },
}
JOINED_EXAMPLES: dict[str, Any] = {
    "joined": {
        "summary": "A job of this content is active",
        "value": {**_CREATED, "outcome": "joined", "dedup": _JOINED},
    },
    "dry_run": {
        "summary": "What a POST would do",
        "value": {**_CREATED, "outcome": "planned", "job": None},
    },
}


def _problem(code: str, title: str, detail: str, **members: Any) -> dict[str, Any]:
    about = {"type": f"/problems/{code}", "title": title, "status": 409, "detail": detail, "code": code}
    return {**about, "errors": [], "request_id": "6f0c6a4e2b8d4d7f", **members}


CONFLICT_EXAMPLES: dict[str, Any] = {
    "rejected": {
        "summary": "`on_duplicate: reject`, and a job of this content is active",
        "value": _problem(
            "duplicate_job",
            "The same job is active or recent",
            "The same spec is active or was completed a moment ago. Join it, or send `on_duplicate: create` for a new"
            " job.",
            job=_JOB,
            reason="same_spec_active",
        ),
    },
    "submission_in_flight": {
        "summary": "Another submission of this content is under way",
        "value": _problem(
            "submission_in_flight",
            "The same job is being submitted",
            "Another submission with the same content hasn't ended; repeat this one in a second.",
            matched_on="spec_hash",
        ),
    },
}
