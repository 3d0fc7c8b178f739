"""The command at a service: `at(url, key=…)` runs `breakwater` with a home folder of the test's own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.support.service import Process, running
from tests.support.waiting import eventually


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., CommandLine]:
    """Make command lines for services."""
    return lambda url, **given: CommandLine(url, tmp_path, **given)


@pytest.fixture
def breakwater(at: Callable[..., CommandLine], service: Process) -> CommandLine:
    """The command at the session's API, which has no worker: its jobs stay queued."""
    return at(service.url)


@pytest.fixture(scope="module")
def working_service(
    engines: Any, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """An API and a worker on a module's own database."""
    folder = tmp_path_factory.mktemp("working_service")
    stores = (module_database_url, engines.redis_url)
    with (
        running("api", folder / "api.log", *stores) as api,
        running("worker", folder / "worker.log", *stores) as worker,
    ):
        eventually(lambda: worker.events("worker_started"), seconds=30)
        yield api


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[Any], str]:
    """Write a spec into a file; return its name."""

    def write(body: Any, name: str = "spec.json") -> str:
        path = tmp_path / name
        path.write_text(body if isinstance(body, str) else json.dumps(body))
        return str(path)

    return write
