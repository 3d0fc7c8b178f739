"""The short form of a job: state, times, and links to its parts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from db.submissions import SubmittedJob

PARTS = ("executions", "waves", "coordination", "events", "submissions", "audit")
"""The parts of every job."""


def job_links(job_id: str, parts: Sequence[str]) -> dict[str, str]:
    """Return the paths of a job and of its parts; `parts` are the parts that its kind adds."""
    at = f"/jobs/{job_id}"
    return {"self": at, **{part: f"{at}/{part}" for part in (*PARTS, *parts)}}


def job_json(job: SubmittedJob, parts: Sequence[str]) -> dict[str, Any]:
    """Return a job as the answer of a POST shows it; `parts` as above."""
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created_at": json_time(job.created_at),
        "links": job_links(job.id, parts),
    }


def json_time(at: datetime) -> str:
    """Return a moment as every answer shows it."""
    return at.isoformat().replace("+00:00", "Z")
