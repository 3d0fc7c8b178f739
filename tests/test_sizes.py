"""Sizes outside the tests: no file, class, function or line grows past what a reader takes in at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("[a-z]*/__init__.py") if path.parent.name != "tests")
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))

STATEMENTS = sorted(
    path
    for folder in (*PACKAGES, ROOT / "tests")
    for path in folder.rglob("*.sql")
    if "migrations" not in path.parts  # those that were released stay as they are
)

FILE_LINES = 320
CLASS_LINES = 150
FUNCTION_LINES = 60
LINE_CHARACTERS = 120
"""In SQL; the linter bounds those of Python."""


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


def too_long(place: str, source: str) -> Iterator[str]:
    """Yield the lines of a text that are beyond the bound."""
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > LINE_CHARACTERS:
            yield f"{place}:{number} has {len(line)} characters, more than {LINE_CHARACTERS}"


def test_no_line_of_sql_is_too_long() -> None:
    assert len(STATEMENTS) > 150
    found = [line for path in STATEMENTS for line in too_long(str(path.relative_to(ROOT)), path.read_text())]
    assert not found, "\n".join(found)


def test_one_character_too_many_is_found() -> None:
    (found,) = too_long("file.sql", f"SELECT\n{'x' * 121}\n{'x' * 120}\n")
    assert found == "file.sql:2 has 121 characters, more than 120"


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
