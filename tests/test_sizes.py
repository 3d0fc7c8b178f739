"""Sizes outside the tests: no file, class or function grows past what a reader takes in at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("[a-z]*/__init__.py") if path.parent.name != "tests")
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))

FILE_LINES = 320
CLASS_LINES = 150
FUNCTION_LINES = 60


def too_large(place: str, source: str) -> Iterator[str]:
    """Yield what of a module's source is beyond the bounds."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield f"{place} has {lines} lines, more than {FILE_LINES}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            lines, limit = node.end_lineno - node.lineno + 1, _limit_of(node)
            if lines > limit:
                yield f"{place}: {node.name} has {lines} lines, more than {limit}"


def _limit_of(node: ast.AST) -> int:
    return CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES


def test_no_file_class_or_function_is_too_large() -> None:
    assert len(MODULES) > 200
    found = [line for path in MODULES for line in too_large(str(path.relative_to(ROOT)), path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("x = 1\n" * (FILE_LINES + 1), "file.py has 321 lines"),
        ("class Large:\n" + "    x = 1\n" * CLASS_LINES, "Large has 151 lines"),
        ("def large():\n" + "    x = 1\n" * FUNCTION_LINES, "large has 61 lines"),
        ("class C:\n    async def large(self):\n" + "        x = 1\n" * FUNCTION_LINES, "large has 61 lines"),
    ],
)
def test_one_line_too_many_is_found(source: str, named: str) -> None:
    (found,) = too_large("file.py", source)
    assert named in found
