"""A step that has a function in the database is done by that function in every statement."""

import ast
import importlib
import pkgutil
import re

import pytest
from sqlmodel import SQLModel

from db import tables as table_modules
from db.engine import STATEMENTS
from tests.support.documentation import ROOT

TEXT_BY_NAME = {path.stem: path.read_text() for path in STATEMENTS.glob("*.sql")}
ALONE = {
    "write_event": r"INTO events\b",
    "offer_batch": r"INTO ready\b",
    "virtual_finish_time_of_tenant": r"min\(\w+\.turn\)[\s,0)]+FROM ready|\bvirtual_(finish_)?time\(",
    "pauses_of": r"is_paused\s+AND\s+\(|\.kind = '(region|provider)' AND \w+\.name = ",
}


@pytest.mark.parametrize("function", ALONE)
def test_a_function_is_used_by_several_statements_and_gone_around_by_none(function: str) -> None:
    assert [name for name, text in TEXT_BY_NAME.items() if re.search(ALONE[function], text)] == []
    assert sum(f"{function}(" in text for text in TEXT_BY_NAME.values()) >= 5


SQL = re.compile(r"\s*(WITH|SELECT|UPDATE|INSERT|DELETE)\s")
LOCKS_OR_CHANGES = re.compile(r"\s*(UPDATE|INSERT|DELETE)\b|\bFOR (NO KEY )?(UPDATE|SHARE)\b|advisory")


def test_python_holds_no_statement_that_locks_changes_or_reads_a_table() -> None:
    """What it holds asks for the time or a setting; SQLModel reads tables without any text."""
    for module in pkgutil.iter_modules(table_modules.__path__):
        importlib.import_module(f"{table_modules.__name__}.{module.name}")
    tables = "|".join(SQLModel.metadata.tables)
    found = [
        (path.name, text)
        for layer in ("db", "submissions", "configuration", "api", "worker", "cli")
        for path in (ROOT / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(text := node.value, str) and SQL.match(text)
        if LOCKS_OR_CHANGES.search(text) or re.search(rf"\b(FROM|JOIN) ({tables})\b", text)
    ]
    assert found == []
    assert {"jobs", "batches", "events", "ready"} <= set(SQLModel.metadata.tables)
