"""No test is lost on its way, and none rests on another: of those with one id only one would run, and tests share
fixtures and functions through modules that hold no tests.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


PLUGIN = "tests.support.repeated_ids"


@pytest.mark.parametrize("processes", [0, 2])
def test_tests_of_the_same_id_are_refused(processes: int, tmp_path: Path) -> None:
    """With the plugin alone: what else the tests import takes each process seconds, on a loaded machine a minute."""
    (tmp_path / "test_twice.py").write_text("def test_this():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    plugins = ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", PLUGIN]
    options = [*plugins, "--dist", "loadfile", "--numprocesses", str(processes)]
    twice = ["--keep-duplicates", "test_twice.py", "test_twice.py"]
    command = [sys.executable, "-m", "pytest", *options, *twice]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR, run.stdout
    assert "Several tests have the same id: test_twice.py::test_this" in run.stdout


def test_this_run_refuses_them(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin(PLUGIN)


def test_no_module_of_tests_is_imported() -> None:
    assert [found for found in imported_names() if holds_tests(found[1])] == []


def test_no_fixture_is_imported() -> None:
    """Fixtures are found by their names: in the module, in the folder's conftest, or in a plugin of tests/support."""
    defined = {(module, name) for module, tree in modules().items() for name in fixtures(tree)}
    assert len(defined) > 50
    assert [found for found in imported_names() if found[1:] in defined] == []
    assert [module for module, tree in modules().items() if "__all__" in top_names(tree)] == []


@cache
def modules() -> dict[str, ast.Module]:
    """The modules of the tests by their names."""
    return {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts): ast.parse(path.read_text())
        for path in sorted((PROJECT / "tests").rglob("*.py"))
    }


def imported_names() -> Iterator[tuple[str, str, str]]:
    """Each (importing module, imported module, name) within the tests."""
    for importing, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tests":
                for alias in node.names:
                    is_module = f"{node.module}.{alias.name}" in modules()
                    yield importing, f"{node.module}.{alias.name}" if is_module else node.module, alias.name
            if isinstance(node, ast.Import):
                yield from ((importing, alias.name, "") for alias in node.names if alias.name in modules())


def holds_tests(module: str) -> bool:
    name = module.rpartition(".")[2]
    return name.startswith("test_") or name == "conftest"


def top_names(tree: ast.Module) -> set[str]:
    return {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}


def fixtures(tree: ast.Module) -> Iterator[str]:
    """The names of the fixtures that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(is_fixture, node.decorator_list)):
            yield node.name


def is_fixture(decorator: ast.expr) -> bool:
    made_by = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(made_by) in ("pytest.fixture", "fixture", "pytest_asyncio.fixture")
