"""The reference of errors has an entry for every code that the service can answer, and none that it can't."""

import ast
import re
from collections.abc import Iterator

from api.errors import HTTP_CODES, RESPONSES
from domain.errors import BreakwaterError
from sources.errors import SourceError
from tests.support.documentation import ROOT, names_in, tables

CODE = re.compile(r"[a-z]+(_[a-z]+)*")
PLACE_BY_CALL = {
    "BadRequest": 1,
    "ParameterError": 1,
    "FieldError": 1,
    "error": 1,
    "pause": 1,
    "RejectedRow": 2,
    "Failed": 0,
    "Refusal": 1,
}
"""Where a call names the code of the error that it makes; `error` and `pause` are those of a spec's findings."""
OTHERS = {
    *("wrong_type", "database_unavailable", "client_closed_request", "database_not_writable", "schema_differs"),
    "rights_missing",
}
"""Codes of problems and probes that are made elsewhere."""
PACKAGES = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")]


def _subclasses(error: type[Exception]) -> Iterator[type[Exception]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _codes_by_class() -> set[str]:
    kinds = [BreakwaterError, *_subclasses(BreakwaterError), SourceError, *_subclasses(SourceError)]
    return {kind.code for kind in kinds if isinstance(getattr(kind, "code", None), str)}


def _codes_by_call() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    found |= _code_of(node)
    return found


def _code_of(call: ast.Call) -> set[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = PLACE_BY_CALL.get(name, len(call.args))
    if place >= len(call.args):
        return set()
    code = call.args[place]
    if isinstance(code, ast.Constant) and isinstance(code.value, str) and CODE.fullmatch(code.value):
        return {code.value}
    return set()


def _explained() -> set[str]:
    """The codes with an entry, in the first column; those of calls are in the second column of their page."""
    errors = {name for row in tables("docs/reference/errors.md") for name in names_in(row[0])}
    calls = {name for row in tables("docs/reference/providers.md") if len(row) == 5 for name in names_in(row[1])}
    return {name for name in errors | calls if CODE.fullmatch(name)}


def test_every_code_is_explained() -> None:
    made = _codes_by_class() | _codes_by_call() | {code for code, _ in HTTP_CODES.values()} | OTHERS
    assert len(made) > 90
    assert made - _explained() == set()


def test_every_code_that_is_explained_exists() -> None:
    code = "\n".join(
        path.read_text() for package in PACKAGES for kind in ("*.py", "*.sql") for path in package.rglob(kind)
    )
    built = {"unknown_connection", "unknown_query"}
    assert {name for name in _explained() - built if not re.search(rf"[\"']{name}[\"']", code)} == set()


def test_the_status_of_each_problem_is_the_one_that_is_answered() -> None:
    answered = {code: status for status, (code, _) in HTTP_CODES.items()}
    answered |= {kind.code: answer.status for kind, answer in RESPONSES.items()}
    rows = [row for row in tables("docs/reference/errors.md") if len(row) == 4 and row[1].isdigit()]
    explained = {name: int(status) for codes, status, *_ in rows for name in names_in(codes)}
    in_specs = {"spec_rejected": 422}  # a table of its own says it for all of them
    assert {code: (explained | in_specs)[code] for code in answered} == answered
