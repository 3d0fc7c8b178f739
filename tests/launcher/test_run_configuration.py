"""`make run` and its configuration: a demonstration while there is none, the file at each start, and what stays."""

import json
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.launcher.runs import Run
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
FILE = '[providers.chat]\ntype = "openai"\n\n[providers.chat.base_urls]\nus-east = "http://127.0.0.1:9/v1"\n'


async def committed(data_dir: Path) -> list[tuple[int, bool, list[str]]]:
    """The configurations: number, whether it is simulated, and its providers."""
    connections = json.loads((data_dir / "connections.json").read_text())
    connection = await asyncpg.connect(connections["database_url"])
    rows = await connection.fetch("SELECT * FROM configurations ORDER BY configuration_no")
    await connection.close()
    providers = [list(json.loads(row["content"]).get("providers", {})) for row in rows]
    return [
        (row["configuration_no"], row["is_simulated"], provider) for row, provider in zip(rows, providers, strict=True)
    ]


def ready(run: Run) -> None:
    eventually(lambda: run.events("service_ready"), seconds=90, what=run.output.read_text()[-2000:])


async def test_a_run_simulates_until_it_is_given_a_file_and_goes_on_with_that(
    start_run: Callable[..., Run], data_dir: Path, tmp_path: Path
) -> None:
    first = start_run()
    ready(first)
    assert first.events("simulating")
    assert await committed(data_dir) == [(1, True, [])]
    first.stop()
    path = tmp_path / "b.toml"
    path.write_text(FILE)
    second = start_run(CONFIG=str(path))
    ready(second)
    assert await committed(data_dir) == [(1, True, []), (2, False, ["chat"])]
    second.stop()
    third = start_run()
    ready(third)
    assert not third.events("simulating")
    assert len(await committed(data_dir)) == 2
    third.stop()
    fourth = start_run(SIMULATE="true")
    assert fourth.process.wait(90) == 1
    assert "BREAKWATER_SIMULATE is true, but configuration 2" in fourth.output.read_text()


def test_a_run_and_its_processes_take_the_urls_of_their_stores_from_files(
    start_run: Callable[..., Run], unconfigured_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    given = {"DATABASE_URL_FILE": unconfigured_database_url, "REDIS_URL_FILE": redis_url}
    for name, url in given.items():
        (tmp_path / name).write_text(f"{url}\n")
    run = start_run(**{name: str(tmp_path / name) for name in given})
    ready(run)
    assert not [name for name in ("postgres", "valkey") if run.events("process_started", name=name)]
    run.wait_for("worker-1")
    assert run.stop() == 0
