"""`watch`, and `submit --watch`: following jobs to their end in the view that fits the output."""

import asyncio
from collections.abc import Sequence

from rich.live import Live

from cli.remote.errors import NOT_COMPLETED
from cli.remote.following import Follower, Job, View
from cli.remote.output import print_note, terminal
from cli.remote.service import Service
from cli.remote.views import JsonView, LineView, LiveView

DRAWINGS_A_SECOND = 4


async def watch(service: Service, job_ids: Sequence[str], *, give_up_seconds: float, as_json: bool) -> int:
    """Follow the jobs one after the other; return 0 if all completed, else 1.

    If it is cancelled the jobs go on, and it says how to follow them again.
    """
    statuses: list[str] = []
    try:
        async with Service(service.address, retry_seconds=0) as asked:
            for job_id in job_ids:
                job = await _follow(asked, job_id, give_up_seconds, as_json=as_json)
                statuses.append(job["status"])
    except asyncio.CancelledError:
        _say_how_to_go_on(service, job_ids[len(statuses) :])
        raise
    return 0 if set(statuses) <= {"completed"} else NOT_COMPLETED


async def _follow(service: Service, job_id: str, give_up_seconds: float, *, as_json: bool) -> Job:
    console = terminal()
    if as_json:
        return await _run(service, job_id, JsonView(), give_up_seconds)
    if not console.is_terminal or console.is_dumb_terminal:
        return await _run(service, job_id, LineView(), give_up_seconds)
    view = LiveView(console)
    with Live(console=console, get_renderable=view.draw, refresh_per_second=DRAWINGS_A_SECOND):
        return await _run(service, job_id, view, give_up_seconds)


async def _run(service: Service, job_id: str, view: View, give_up_seconds: float) -> Job:
    return await Follower(service, job_id, view, give_up_seconds=give_up_seconds).run()


def _say_how_to_go_on(service: Service, left: Sequence[str]) -> None:
    option, ids = service.address.option, " ".join(left)
    goes = "The job goes on." if len(left) == 1 else "The jobs go on."
    print_note(f"{goes} To follow again: breakwater watch {ids}{option}")
    print_note(f"To end {'it' if len(left) == 1 else 'them'}: breakwater cancel {ids}{option}")
