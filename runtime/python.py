"""Running modules of this project in new processes."""

import os
import sys
from pathlib import Path


def python_command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment that run one of our modules in a new process.

    The process finds our modules from any folder, and ignores modules in the current folder (`-P`).
    """
    root = str(Path(__file__).resolve().parent.parent)
    search_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return [sys.executable, "-P", "-m", module, *arguments], {**os.environ, "PYTHONPATH": search_path}
