"""A browser's own EventSource: it gets each event once, goes on by itself after a restart of the API, and ends."""

from contextlib import ExitStack
from pathlib import Path

import httpx2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tests.support.browsing import opened
from tests.support.job_seeds import Seeds, completed
from tests.support.served_app import serve_app
from tests.support.service import free_port
from tests.support.waiting import eventually_async

QUESTIONS = 6
READ = ["1:coordinated", *(f"{n}:progressed" for n in range(2, QUESTIONS + 1)), f"{QUESTIONS + 1}:finished"]
PAGE = """<!doctype html><title>reading</title><script>
const source = new EventSource("/jobs/{job_id}/events"), seen = (what) => fetch("/seen?what=" + what);
let opened = 0, read = [];
source.onopen = () => {{ opened += 1; }};
source.onmessage = (message) => {{
  read.push(message.lastEventId + ":" + JSON.parse(message.data).type);
  seen(read.join("+"));
}};
source.onerror = () => {{ if (source.readyState === EventSource.CLOSED) seen("closed" + opened); }};
</script>"""


async def test_a_browser_goes_on_after_a_restart_and_stops_at_the_end(
    reader: httpx2.AsyncClient, seeds: Seeds, tmp_path: Path
) -> None:
    seeds.batch_cells = 1
    job = await seeds.submit(questions=[f"{n}?" for n in range(QUESTIONS)])
    seen: list[str] = []

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(
            PAGE.format(job_id=job.id), headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"}
        )

    async def note(request: Request) -> HTMLResponse:
        seen.append(request.query_params["what"])
        return HTMLResponse("")

    app = reader.app  # type: ignore[attr-defined]
    app.router.add_route("/page", page)
    app.router.add_route("/seen", note)
    await seeds.plan()
    batches = await seeds.claim()
    port, stack = free_port(), ExitStack()
    with stack:
        async with serve_app(app, port=port) as url:
            stack.enter_context(opened(f"{url}/page", tmp_path))
            for batch in batches[:2]:
                await seeds.record(completed(batch))
            await reported(seen, " ".join(READ[:3]))
        await seeds.record(completed(batches[2]))
        async with serve_app(app, port=port):
            for batch in batches[3:]:
                await seeds.record(completed(batch))
            await reported(seen, " ".join(READ))
            await reported(seen, "closed2")
    assert seen[:-1] == [" ".join(READ[: n + 1]) for n in range(len(READ))]


async def reported(seen: list[str], what: str) -> None:
    """Wait until the page has told this."""

    async def look() -> bool:
        return what in seen

    await eventually_async(look, seconds=30, what=f"{what}, of {seen}")
