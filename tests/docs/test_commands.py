"""The commands of README, tutorials and how-to guides run against a real service, and print the shown output."""

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.documentation import DOCS, ROOT, Example, examples, table, untested
from tests.support.programs import require_program
from tests.support.service import StartProcess

SERVICE = "http://127.0.0.1:8000"
"""Where the pages say that the service is."""
MARK = "-- end of example --"
ANY = "…"
SECONDS = 60
"""The limit for all commands of a page; beyond it they wait for an event that never comes."""
CONFIGURATION = ROOT / "examples" / "import" / "breakwater.toml"
PAGES = [ROOT / "README.md", *sorted((DOCS / "tutorial").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
RUN = [page for page in PAGES if examples(page)]


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def stores(unconfigured_database_url: str, redis_url: str) -> dict[str, str]:
    """The settings that name the stores, as a command's environment has them."""
    return {"BREAKWATER_DATABASE_URL": unconfigured_database_url, "BREAKWATER_REDIS_URL": redis_url}


@pytest.mark.parametrize("page", RUN, ids=_named)
def test_the_commands_of_a_page_print_the_shown_output(
    page: Path, start_api: StartProcess, start_worker: StartProcess, stores: dict[str, str], tmp_path: Path
) -> None:
    api = start_api(*stores.values(), config=CONFIGURATION)
    start_worker(*stores.values())
    printed = _run(examples(page), api.url, stores, tmp_path)
    for example, output in zip(examples(page), printed, strict=True):
        _assert_prints(output, example)


def _run(given: list[Example], url: str, stores: dict[str, str], folder: Path) -> list[str]:
    """Type all commands into one shell, in a folder with the examples, and return the output of each block."""
    bash, _ = require_program("bash"), require_program("curl")
    (folder / "examples").symlink_to(ROOT / "examples")
    command = folder / "bin" / "breakwater"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cli "$@"\n')
    command.chmod(0o755)
    script = "".join(f"{example.commands}\necho; echo '{MARK}'\n" for example in given)
    output = folder / "output"
    with output.open("w") as file:
        shell = subprocess.run(
            ["timeout", str(SECONDS), bash, "-eu", "-o", "pipefail", "-c", script.replace(SERVICE, url)],
            env={**stores, "PATH": f"{command.parent}:{os.environ['PATH']}", "XDG_STATE_HOME": str(folder / "state")},
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    printed = output.read_text().replace(url, SERVICE)
    assert shell.returncode == 0, printed
    return printed.split(MARK)[:-1]


def _assert_prints(output: str, example: Example) -> None:
    match example.shown_as:
        case None:
            return
        case "json":
            _assert_holds(json.loads(output), json.loads(example.shown), example.commands)
        case "ndjson":
            assert [json.loads(line) for line in output.split("\n") if line] == [
                json.loads(line) for line in example.shown.splitlines()
            ]
        case _:
            parts = map(re.escape, example.shown.strip("\n").split(ANY))
            assert re.fullmatch(".*".join(parts), output.strip("\n"), re.DOTALL), output


def _assert_holds(answered: Any, shown: Any, at: str) -> None:
    """Check that the answer holds everything that is shown; `…` stands for anything, last in a list for any more."""
    if shown == ANY:
        return
    if isinstance(shown, dict):
        assert shown.keys() <= answered.keys(), (at, answered)
        for name, value in shown.items():
            _assert_holds(answered[name], value, f"{at} {name}")
    elif isinstance(shown, list):
        kept = shown[:-1] if shown and shown[-1] == ANY else shown
        assert len(answered) >= len(kept) if kept is not shown else len(answered) == len(kept), (at, answered)
        for number, value in enumerate(kept):
            _assert_holds(answered[number], value, f"{at} {number}")
    else:
        assert answered == shown, at


def test_a_loop_ends_where_the_service_refuses(tmp_path: Path) -> None:
    [loop] = [each for each in examples(DOCS / "how-to" / "act-on-many-jobs.md") if each.commands.startswith("left=")]
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as refusing:  # it answers each POST with 501
        Thread(target=refusing.serve_forever, daemon=True).start()
        script = f"as_of=none\n{loop.commands}".replace(SERVICE, f"http://127.0.0.1:{refusing.server_port}")
        shell = ["timeout", "10", require_program("bash"), "-eu", "-o", "pipefail", "-c", script]
        ended = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)
        refusing.shutdown()
    assert ended.returncode == 0, ended
    assert "501" in ended.stdout + ended.stderr


def test_every_tutorial_is_run() -> None:
    assert {page for page in PAGES if page.parent in (ROOT, DOCS / "tutorial")} <= set(RUN)
    assert len(RUN) >= 6


def test_the_index_lists_the_blocks_that_are_not_run() -> None:
    listed = [
        tuple(re.sub(r"[`\[]|\]\(.*?\)", "", cell) for cell in row)
        for row in table("docs/README.md", "page", "command")
    ]
    found = [(_named(page).removeprefix("docs/"), *block) for page in PAGES for block in untested(page)]
    assert listed == found


def test_no_command_escapes_by_the_way_it_is_fenced() -> None:
    for page in PAGES:
        fences = re.findall(r"^ *```(\S*)(.*)$", page.read_text(), re.MULTILINE)
        shell = [rest for language, rest in fences if language in ("sh", "bash", "shell", "console")]
        assert all(not rest or rest.startswith(" not tested: ") for rest in shell), page
        assert not any(language in ("bash", "shell", "console") for language, _ in fences), page
