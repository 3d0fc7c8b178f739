"""A browser that reaches this machine only draws /docs: the bundle, its policy and our start-up script fit together."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from api.routes import pages
from tests.support.browsing import browse


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(title="A small harbour", docs_url=None, redoc_url=None)
    app.include_router(pages.router)
    pages.mount_static(app)

    @app.post("/jobs", summary="Submit a job", operation_id="submit_job", tags=["jobs"])
    async def submit() -> None: ...

    return app


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """The app behind a real server. The socket listens before the server runs, so nothing has to be waited for."""
    server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="off", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://{host}:{port}"
        server.should_exit = True
        thread.join()


def test_swagger_draws_the_operations_offline(address: str, tmp_path: Path) -> None:
    page = browse(f"{address}/docs", tmp_path)
    assert "A small harbour" in page.stdout
    assert 'id="operations-jobs-submit_job"' in page.stdout
    assert "Submit a job" in page.stdout
    assert "Failed to load API definition" not in page.stdout


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_policy_refuses_nothing_a_page_needs(address: str, tmp_path: Path, path: str) -> None:
    console = [line for line in browse(address + path, tmp_path).stderr.splitlines() if "CONSOLE" in line]
    assert console == []
