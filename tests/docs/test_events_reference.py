"""The reference of events has every event that a process logs, and every type of a job's events."""

import ast
import re
from collections.abc import Iterator

import asyncpg

from tests.support.documentation import ROOT, names_in, read, table

LEVELS = {"info", "warning", "error", "exception", "critical"}
"""Debug lines are for readers of the code."""
PACKAGES = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")]
EVENT = re.compile(r"[a-z]+(_[a-z]+)+")


def _logged() -> Iterator[str]:
    """The events that are logged by a constant name, on something called `log`."""
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                    yield from _event_of(node, node.func)


def _event_of(call: ast.Call, method: ast.Attribute) -> Iterator[str]:
    target = method.value
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    if name.strip("_") == "log" and call.args and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value)


def _explained() -> set[str]:
    text = read("docs/reference/events.md").partition("## Log events")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in rows for name in names_in(cell)}


def test_every_logged_event_is_explained() -> None:
    logged = set(_logged())
    assert len(logged) > 70
    assert logged - _explained() == set()


def test_every_explained_event_is_logged() -> None:
    code = "\n".join(path.read_text() for package in PACKAGES for path in package.rglob("*.py"))
    built = {f"{kind}_{done}" for kind in ("region", "provider") for done in ("paused", "resumed")}
    assert {name for name in _explained() - built if f'"{name}"' not in code} == set()


async def test_every_type_of_a_job_s_events_is_explained(shared_database_url: str) -> None:
    connection = await asyncpg.connect(shared_database_url)
    try:
        types = {row["type"] for row in await connection.fetch("SELECT type FROM event_types")}
    finally:
        await connection.close()
    explained = [name for row in table("docs/reference/events.md", "type", "when") for name in names_in(row[0])]
    assert sorted(explained) == sorted(types)
