"""How a job is shown in short, and where to look on."""

from datetime import datetime
from typing import Any

from db.submissions import SubmittedJob
from domain.spec import Kind


def job_links(job_id: str, kind: str) -> dict[str, str]:
    """Return where a job and what belongs to it are shown."""
    at = f"/jobs/{job_id}"
    parts: tuple[str, ...] = ("executions", "waves", "coordination", "events", "submissions", "audit")
    if kind == Kind.IMPORT:
        parts = (*parts, "rejects")
    return {"self": at, **{part: f"{at}/{part}" for part in parts}}


def job_json(job: SubmittedJob) -> dict[str, Any]:
    """Return a job as the answer of a POST shows it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created_at": json_time(job.created_at),
        "links": job_links(job.id, job.kind),
    }


def json_time(at: datetime) -> str:
    """Return a moment as every answer shows it."""
    return at.isoformat().replace("+00:00", "Z")
