"""A test marked `alone` runs while no other does, in whichever process; one marked `quiet` beside its like only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
MARKS = {
    "first": "",
    "second": "",
    "third": "@pytest.mark.alone",
    "fourth": "@pytest.mark.quiet",
    "fifth": "@pytest.mark.quiet",
}
TESTS = """
import time
import pytest

def note(what):
    with open("notes", "a") as file:
        file.write(f"{time.monotonic()} NAME {what}\\n")

MARK
@pytest.mark.parametrize("number", range(20))
def test_this(number):
    note("begins")
    time.sleep(0.02)
    note("ends")
"""


def test_tests_of_different_groups_never_run_side_by_side(tmp_path: Path) -> None:
    for name, mark in MARKS.items():
        (tmp_path / f"test_{name}.py").write_text(TESTS.replace("NAME", name).replace("MARK", mark))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone\n    quiet")
    plugins = ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "tests.support.groups"]
    options = [*plugins, "--numprocesses", "5", "--dist", "loadfile"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "pytest", *options]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == pytest.ExitCode.OK, run.stdout
    assert "100 passed" in run.stdout
    running: list[str] = []
    together = set()
    for line in sorted((tmp_path / "notes").read_text().splitlines(), key=lambda line: float(line.split()[0])):
        _, name, what = line.split()
        running.append(name) if what == "begins" else running.remove(name)
        together.add(frozenset(running))
    assert [names for names in together if "third" in names] == [{"third"}]
    assert frozenset({"first", "second"}) in together
    assert frozenset({"fourth", "fifth"}) in together
    assert not [names for names in together if names & {"first", "second"} and names & {"fourth", "fifth"}]
