"""`jobs`, `job`, `executions` and `dead list`: what the service shows, as tables or as JSON lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.remote.output import print_json, print_line, print_note, print_table
from cli.remote.printable import duration, number
from cli.remote.service import Parameters, Service, job_path

STATES = ("completed", "failed", "unknown", "cancelled", "running", "pending")


async def print_jobs(service: Service, parameters: Parameters, *, limit: int, as_json: bool) -> None:
    """Print the jobs that a filter finds, newest first."""
    jobs = await service.items("/jobs", parameters, limit=limit)
    headings = ("job", "status", "done", "failed", "created (UTC)", "kind", "name")
    _print_items(jobs, limit, headings, _job_row, as_json=as_json, cut="name")


async def print_executions(service: Service, job_id: str, parameters: Parameters, *, limit: int, as_json: bool) -> None:
    """Print the cells of a job in plan order."""
    cells = await service.items(job_path(job_id, "executions"), parameters, limit=limit)
    headings = ("execution", "model", "region", "question", "status", "tries", "answer or error")
    _print_items(cells, limit, headings, _execution_row, as_json=as_json, cut="answer or error")


async def print_dead_letters(service: Service, parameters: Parameters, *, limit: int, as_json: bool) -> None:
    """Print the open dead letters, newest first."""
    letters = await service.items("/queue/dead", parameters, limit=limit)
    headings = ("id", "tenant", "job", "model", "region", "question", "tries", "error")
    _print_items(letters, limit, headings, _dead_letter_row, as_json=as_json, cut="error")


async def print_job(service: Service, job_id: str, *, as_json: bool) -> None:
    """Print one job."""
    job = await service.get(job_path(job_id))
    if as_json:
        print_json(job)
        return
    for line in describe_job(job):
        print_line(line)


def describe_job(job: Mapping[str, Any]) -> Iterator[str]:
    """Return what a person asks of a job: how far it is, why it waits, what went wrong."""
    progress = job["progress"]
    noun = "cells" if job["kind"] == "inference" else "batches"
    yield f"{job['id']}  {job['kind']}  {job['name']}"
    yield f"status      {job['status']}{' (simulated: echo answers for providers)' if job['simulated'] else ''}"
    counts = ", ".join(f"{number(progress[state])} {state}" for state in STATES if progress[state])
    yield f"{noun:<11} {number(progress['planned'])}: {counts or 'not planned yet'}"
    if job["incomplete"]:
        yield f"incomplete  {number(job['incomplete'])} answers were cut, filtered or refused"
    for name in ("created_at", "started_at", "finished_at"):
        if job[name]:
            yield f"{name.removesuffix('_at'):<11} {moment(job[name])} UTC"
    if imported := job["import_progress"]:
        rows = imported["rows"]
        read, expected, rejected = (number(rows[name]) for name in ("read", "expected", "rejected"))
        yield f"rows        {read} of {expected} read, {rejected} rejected"
    if held := job["held"]:
        yield f"held        {held['reason']} since {moment(held['since'])} UTC"
        yield f"            {held['detail']}"
    if queue := job["queue"]:
        place = f"place {number(queue['position'])}, " if queue["position"] else ""
        yield f"waits       {place}for {duration(queue['waited_seconds'])} so far"
    if error := job["error"]:
        yield f"error       {error['code']}: {error['detail']}"
    yield f"submitted   {number(job['times_seen'])} times"


def moment(text: str | None) -> str:
    """Return an RFC 3339 moment in UTC to the second, without the zone."""
    return (text or "")[:19].replace("T", " ")


def _print_items(
    items: Sequence[Any], limit: int, headings: Sequence[str], row: Any, *, as_json: bool, cut: str
) -> None:
    shown = items[:limit]
    if as_json:
        for item in shown:
            print_json(item)
    elif shown:
        print_table(headings, map(row, shown), cut=cut)
    else:
        print_note("None.")
    if len(items) > limit:
        print_note(f"There are more than these {number(limit)}: narrow the list, or give a higher --limit.")


def _job_row(job: Mapping[str, Any]) -> tuple[object, ...]:
    progress = job["progress"]
    done = progress["planned"] - progress["pending"] - progress["running"]
    share = f"{number(done)}/{number(progress['planned'])}"
    return (
        job["id"],
        job["status"],
        share,
        progress["failed"] + progress["unknown"] or "",
        moment(job["created_at"]),
        job["kind"],
        job["name"],
    )


def _execution_row(cell: Mapping[str, Any]) -> tuple[object, ...]:
    error = cell["error"]
    said = f"{error['code']}: {error['detail']}" if error else cell["output"]
    status = f"{cell['status']}{', incomplete' if cell['is_complete'] is False else ''}"
    return (cell["id"], cell["model_id"], cell["region"], cell["question_id"], status, cell["attempts"], said)


def _dead_letter_row(letter: Mapping[str, Any]) -> tuple[object, ...]:
    error = f"{letter['error']['code']}: {letter['error']['detail']}"
    names = ("id", "tenant", "job_id", "model_id", "region", "question_id", "attempts")
    return (*(letter[name] for name in names), error)
