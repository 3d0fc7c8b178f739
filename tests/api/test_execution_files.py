"""Cells as lines of a file: every text comes back as it was, and nothing that a spreadsheet would run."""

import csv
import io
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.execution_files import COLUMNS, CSV, NDJSON
from api.schemas.executions import Execution, ExecutionError
from domain.status import ExecutionStatus

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
STORABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
LIKE_FORMULAS = st.builds(str.__add__, st.sampled_from(list("=+-@'\t\r\n \uff1d\"")), STORABLE)
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def cell(**members: Any) -> Execution:
    given: dict[str, Any] = {
        "id": "1-0-0-0",
        "job_id": "j",
        "model_id": "m",
        "region": "us-east",
        "question_id": "q",
        "status": ExecutionStatus.COMPLETED,
        "attempts": 1,
        "provider": "hybrid",
        "provider_used": "hybrid",
        "simulated": False,
        "region_served": None,
        "output": "four",
        "output_empty": False,
        "usage": None,
        "finish_reason": None,
        "is_complete": None,
        "model_used": None,
        "error": None,
        "retry_at": None,
        "created_at": NOW,
        "queued_at": NOW,
        "started_at": NOW,
        "finished_at": NOW,
    }
    return Execution(**{**given, **members})


def record(execution: Execution) -> dict[str, str]:
    """The only record of a file with this cell, as a reader of CSV sees it."""
    text = CSV.head + CSV.line(execution)
    assert text.endswith("\r\n")
    [read] = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    return read


def as_it_was(text: str) -> str:
    """As the description says."""
    return text.removeprefix("'")


def is_number(text: str) -> bool:
    with suppress(ValueError):
        return set(text) <= set("+-.eE0123456789") and float(text) is not None
    return False


@given(STORABLE | LIKE_FORMULAS, STORABLE | LIKE_FORMULAS)
def test_every_text_comes_back(output: str, detail: str) -> None:
    error = ExecutionError(code="c", detail=detail, retryable=True)
    read = record(cell(output=output, model_id=detail or "m", error=error))
    assert as_it_was(read["output"]) == output
    assert as_it_was(read["error_detail"]) == detail
    assert as_it_was(read["model_id"]) == (detail or "m")


@given(STORABLE | LIKE_FORMULAS)
def test_nothing_is_left_that_a_spreadsheet_would_run(output: str) -> None:
    shown = record(cell(output=output))["output"]
    assert not shown.lstrip().startswith(FORMULA_STARTS) or is_number(shown)
    assert not shown.startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(A1)", "+1-2", "-cmd|' /C calc'!A0", " =1", "\u00a0=1", "\t4", "\n=1", "--4"]
)
def test_text_that_could_be_a_formula_stays_text(text: str) -> None:
    assert record(cell(output=text))["output"] == "'" + text


SEPARATORS = ",;|\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
ANY_CELL = re.compile(rf'(?:^|[{SEPARATORS}])("(?:[^"]|"")*"|[^"{SEPARATORS}]*)')


@given(st.lists(STORABLE | LIKE_FORMULAS | st.sampled_from(list(SEPARATORS)), min_size=1).map("".join))
@example("a;=1+1")
@example("a\t=1+1")
@example("a\u2028=1+1")
def test_a_reader_of_more_separators_finds_no_more_cells(text: str) -> None:
    """Spreadsheets offer to take each of them at once; they know quotes at the start of a cell only."""
    line = CSV.line(cell(output=text, model_id=text)).removesuffix("\r\n")
    found = list(ANY_CELL.finditer(line))
    assert "".join(match[0] for match in found) == line
    assert len(found) == len(COLUMNS)


@pytest.mark.parametrize("text", ["-4", "+3.50", "-1e5", "4", "4-5", "a=b"])
def test_a_number_is_left_alone(text: str) -> None:
    assert record(cell(output=text))["output"] == text


def test_null_is_nothing_and_empty_is_quoted() -> None:
    [_, empty] = (CSV.head + CSV.line(cell(output="", output_empty=True))).split("\r\n")[:2]
    [_, null] = (CSV.head + CSV.line(cell(output=None, output_empty=None))).split("\r\n")[:2]
    place = COLUMNS.index("output")
    assert empty.split(",")[place : place + 2] == ['""', "true"]
    assert null.split(",")[place : place + 2] == ["", ""]


def test_quotes_commas_and_line_ends_are_quoted() -> None:
    text = 'He said "4", then\r\nleft\n'
    assert '"He said ""4"", then\r\nleft\n"' in CSV.line(cell(output=text))
    assert record(cell(output=text))["output"] == text


def test_every_member_has_its_columns() -> None:
    members = [name for name in Execution.model_fields if name != "error"]
    assert {*members, *(f"error_{name}" for name in ExecutionError.model_fields)} == set(COLUMNS)
    assert len(COLUMNS) == len(set(COLUMNS))


def test_values_look_as_they_do_in_json() -> None:
    execution = cell(usage={"total_tokens": 7, "model": "a,b"}, retry_at=NOW)
    read, shown = record(execution), execution.model_dump(mode="json")
    assert orjson.loads(read["usage"]) == shown["usage"]
    assert (read["retry_at"], read["attempts"], read["output_empty"]) == (shown["retry_at"], "1", "false")


@given(STORABLE | LIKE_FORMULAS)
def test_a_line_of_ndjson_is_the_cell_as_it_is_shown(output: str) -> None:
    execution = cell(output=output)
    line = NDJSON.line(execution)
    assert (line.count("\n"), line[-1]) == (1, "\n")
    assert orjson.loads(line) == execution.model_dump(mode="json")
