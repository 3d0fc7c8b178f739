"""Takes the README's pictures of the dashboard: `make screenshots`.

They are of a real service that simulates, with some failures, on free ports and data of its own.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

from tests.support.documentation import ROOT
from tests.support.driven_browser import driven_browser
from tests.support.service import free_port
from tests.support.waiting import eventually_async

IMAGES = ROOT / "docs" / "images"
START_SECONDS = 120
WIDTH, HEIGHT = 1180, 760
COMPARISON = {
    "name": "capital-cities",
    "models": ["llama3.2-1b", "qwen2.5-1.5b", "mistral-7b"],
    "regions": ["US", "EU", "APAC"],
    "questions": [f"What is the capital of {country}?" for country in ("France", "Peru", "Kenya", "Japan", "Norway")],
    "policy": {"max_attempts": 1, "min_success_rate": 0.5},
    "metadata": {"team": "evaluation"},
}


PAGES = (("job", "/ui/jobs/{job}", False), ("import", "/ui/jobs/{import}", True), ("overview", "/ui", False))
"""Each picture's name, its page, and whether it is taken by night."""


async def take(folder: Path) -> None:
    """Start a service, submit jobs, and write a picture of each page into `docs/images`."""
    folder.chmod(0o755)  # noqa: ASYNC240 (as root the engines run under another account)
    port = free_port()
    environment = {
        **os.environ,
        "BREAKWATER_CONFIG": str(ROOT / "examples" / "import" / "breakwater.toml"),
        "BREAKWATER_DATA_DIR": str(folder / "data"),
        "BREAKWATER_ECHO_FAILURE_RATE": "0.08",
        "BREAKWATER_PORT": str(port),
    }
    command = [sys.executable, "-m", "cli", "run"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as service:  # noqa: ASYNC220
        try:
            async with (
                httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=90) as http,
                driven_browser(folder / "profile") as browser,
            ):
                await _wait_until_ready(http, service)
                ids = {
                    "job": await _submit(http, COMPARISON),
                    "import": await _submit(http, json.loads((ROOT / "examples/import/shop.json").read_text())),
                }
                IMAGES.mkdir(exist_ok=True)
                tab = await browser.open_tab()
                for name, path, is_dark in PAGES:
                    await tab.look_like(width=WIDTH, height=HEIGHT, is_dark=is_dark)
                    await tab.go(str(http.base_url) + path.format_map(ids))
                    await tab.picture(IMAGES / f"{name}.png", is_whole=False)
        finally:
            service.send_signal(signal.SIGINT)


async def _wait_until_ready(http: httpx2.AsyncClient, service: "subprocess.Popen[bytes]") -> None:
    async def is_ready() -> bool:
        if service.poll() is not None:
            raise SystemExit("The service ended; its last line says why.")
        try:
            return (await http.get("/readyz")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    await eventually_async(is_ready, seconds=START_SECONDS)


async def _submit(http: httpx2.AsyncClient, body: object) -> str:
    """Submit a job and wait for its end; return its id."""
    answer = await http.post("/jobs", json=body, headers={"Prefer": "wait=60"})
    job_id: str = answer.json()["job"]["id"]
    job = (await http.get(f"/jobs/{job_id}", headers={"Prefer": "wait=60"})).json()
    if job["finished_at"] is None:
        raise SystemExit(f"Job {job_id} hasn't ended: {job['status']}.")
    return job_id


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as given:
        asyncio.run(take(Path(given)))
