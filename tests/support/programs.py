"""Installed programs that tests call, and that a machine may lack."""

import os
import shutil

import pytest


def require_program(name: str) -> str:
    """Return the path of the program `name`; without it the test is skipped, or fails if all tests were asked for."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"{name} is not installed; .ci/run installs what the tests call"
    if os.environ.get("BREAKWATER_TEST_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
