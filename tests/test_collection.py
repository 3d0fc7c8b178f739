"""No test is lost on its way: those of one id, of which only one would run, are refused."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("processes", [0, 2])
def test_tests_of_the_same_id_are_refused(processes: int) -> None:
    twice = ["--keep-duplicates", "tests/runtime/test_tasks.py", "tests/runtime/test_tasks.py"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--dist", "loadfile", "--numprocesses"]
    run = subprocess.run([*command, str(processes), *twice], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR, run.stdout
    assert "Several tests have the same id: tests/runtime/test_tasks.py::test_" in run.stdout
