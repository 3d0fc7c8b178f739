"""`cancel`, `retry` and `dead replay`: each takes effect once, however often the request is sent."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from cli.remote.errors import Refused
from cli.remote.output import print_json, print_line, print_note
from cli.remote.printable import number
from cli.remote.service import Service, job_path


async def cancel(service: Service, job_ids: Sequence[str], *, reason: str | None, as_json: bool) -> int:
    """End what is open of each job; return the exit code."""
    return await _act(
        service,
        {job_id: job_path(job_id, "cancel") for job_id in job_ids},
        {"reason": reason},
        as_json=as_json,
        shown=lambda answer: f"{answer['status']}, {number(answer['cancelled'])} executions ended by this",
    )


async def retry(
    service: Service, job_ids: Sequence[str], wanted: Mapping[str, str | None], *, dry_run: bool, as_json: bool
) -> int:
    """Plan anew what failed of each job, as far as `wanted` asks; return the exit code."""
    return await _act(
        service,
        {job_id: job_path(job_id, "retry") for job_id in job_ids},
        wanted,
        dry_run=dry_run,
        as_json=as_json,
        shown=lambda answer: _retried(answer, dry_run=dry_run),
    )


async def replay(service: Service, dead_letters: Sequence[int], *, reason: str | None, as_json: bool) -> int:
    """Try dead letters again; return the exit code."""
    return await _act(
        service,
        {str(letter): f"/queue/dead/{letter}/replay" for letter in dead_letters},
        {"reason": reason},
        as_json=as_json,
        shown=lambda answer: f"job {answer['id']} {answer['status']}, {_retried(answer, dry_run=False)}",
    )


async def _act(
    service: Service,
    path_by_name: Mapping[str, str],
    body: Mapping[str, str | None],
    *,
    as_json: bool,
    shown: Any,
    dry_run: bool = False,
) -> int:
    """Send the action to each; a refused one doesn't keep the others from being sent."""
    exit_code = 0
    content = orjson.dumps({name: value for name, value in body.items() if value is not None})
    for name, path in path_by_name.items():
        parameters = [("dry_run", "true")] if dry_run else []
        try:
            answer = await service.post(path, body=content, parameters=parameters, key=str(uuid4()))
        except Refused as error:
            if as_json:
                print_json(error.problem)
            print_note(f"{name}: {error}")
            exit_code = error.exit_code
            continue
        if as_json:
            print_json(answer.content)
        else:
            print_line(f"{name}: {shown(answer.content)}")
            if detail := answer.content.get("detail"):
                print_line(f"  {detail}")
    return exit_code


def _retried(answer: Mapping[str, Any], *, dry_run: bool) -> str:
    verb = "would run again" if dry_run else "run again"
    unknown = f", {number(answer['unknown'])} are unknown and stay" if answer["unknown"] else ""
    return f"{number(answer['retried'])} {verb}, {number(answer['untouched'])} untouched{unknown}"
