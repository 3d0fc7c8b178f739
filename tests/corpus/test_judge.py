"""The judge itself: it finds each way in which an import can differ, and knows the rules without the importer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.corpus import draw
from tests.corpus.csv_rules import judge_csv
from tests.corpus.expected import Case, Expected, Reject, Row
from tests.corpus.json_rules import judge_json
from tests.corpus.judging import Imported, ImportedRow, Refused, differences
from tests.corpus.reading import import_case

NAMES = ("id", "v")
RECORDS = [Row({"id": "1", "v": None}), Reject(line=3), Row({"id": "3", "v": "x"}), Row({"id": "4", "v": 1})]
WHOLE = Expected(NAMES, RECORDS)
RIGHT = Imported(
    NAMES,
    4,
    [
        ImportedRow(0, {"id": "1", "v": None}),
        ImportedRow(1, {}, "Expected 2 values, found 1.", line=3),
        ImportedRow(2, {"id": "3", "v": "x"}),
        ImportedRow(3, {"id": "4", "v": 1}),
    ],
)


def with_row(number: int, **changes: object) -> Imported:
    rows = list(RIGHT.rows)
    rows[number] = replace(rows[number], **changes)
    return replace(RIGHT, rows=rows)


def test_nothing_is_found_where_all_is_right() -> None:
    assert differences(WHOLE, RIGHT) == []


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (with_row(2, payload={"id": "3", "v": "y"}), "record 2: silently different: 'v' is 'x', imported 'y'"),
        (with_row(2, payload={"id": "3", "v": "x "}), "silently different"),
        (with_row(0, payload={"id": "1", "v": ""}), "silently different: 'v' is None, imported ''"),
        (with_row(0, payload={"id": "1"}), "silently different: members"),
        (with_row(3, payload={"id": "4", "v": "1"}), "silently different"),
        (with_row(3, payload={"id": "4", "v": 1.0}), "silently different"),
        (with_row(3, payload={"id": "4", "v": True}), "silently different"),
        (with_row(1, defect=None, payload={"id": "2", "v": "z"}), "silently taken"),
        (with_row(1, defect=" "), "a reason that doesn't name"),
        (with_row(1, line=4), "it stands in line 3, said was 4"),
        (with_row(2, defect="no"), "rejected though it can be read"),
        (with_row(2, position=3), "said to stand at 3"),
        (with_row(2, is_repeated=True), "said to repeat a key"),
        (replace(RIGHT, rows=RIGHT.rows[:3]), "4 records, counted were 4, read 3"),
        (replace(RIGHT, rows=[*RIGHT.rows, RIGHT.rows[3]]), "4 records, counted were 4, read 5"),
        (replace(RIGHT, counted=3), "4 records, counted were 3, read 4"),
        (replace(RIGHT, columns=("id", "V")), "its columns are"),
        (replace(RIGHT, rows=[RIGHT.rows[0], RIGHT.rows[1], RIGHT.rows[3], RIGHT.rows[2]]), "silently different"),
        (Refused("unreadable", "It can't be read."), "refused though it can be read"),
    ],
)
def test_each_difference_is_found(outcome: Imported | Refused, found: str) -> None:
    assert any(found in difference for difference in differences(WHOLE, outcome))


@pytest.mark.parametrize("case_id", ["rows-103", "parquet_rows-100"])
async def test_differences_put_into_imported_rows_are_found(case_id: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    case = draw(case_id)
    outcome = await import_case(case, tmp_path / "files", tmp_path / "staging")
    assert isinstance(outcome, Imported)
    assert differences(case.expected, outcome) == []
    rows = list(outcome.rows)
    row, other = rows[1000], rows[1001]
    for spoiled in (
        [*rows[:1000], *rows[1001:]],
        [*rows[:1000], other, row, *rows[1002:]],
        [*rows[:1000], replace(row, payload=row.payload | {"id": None}), *rows[1001:]],
        [*rows[:1000], replace(row, payload=dict(list(row.payload.items())[1:])), *rows[1001:]],
        [*rows[:1000], replace(row, payload={}, defect="It makes no sense."), *rows[1001:]],
        [*rows, replace(rows[-1], position=len(rows))],
    ):
        assert differences(case.expected, replace(outcome, rows=spoiled))


def test_a_broken_file_must_be_refused_for_its_reason_and_in_words() -> None:
    broken = judge_csv(b'a,b\n1,"open\n2,3\n')
    assert differences(broken, Refused("unreadable", "The quote in line 2 isn't closed: mend the file.")) == []
    assert any(
        "imported though it is broken" in difference
        for difference in differences(broken, replace(RIGHT, columns=("a", "b")))
    )
    assert any(
        "unclear" in difference for difference in differences(broken, Refused("unreadable", "It can't be read."))
    )
    assert any(
        "from inside a reader" in difference
        for difference in differences(broken, Refused("unreadable", "/dev/fd/7: line 2"))
    )
    assert any("refused as" in difference for difference in differences(broken, Refused("source_error", "line 2")))


def test_an_importer_that_refuses_everything_or_takes_nothing_fails() -> None:
    cases = [draw(f"{kind}-{number}") for kind in ("csv", "jsonl", "parquet") for number in range(20)]
    assert _found_in(cases, _refused) > 30
    assert _found_in(cases, lambda case: Imported(case.expected.columns or (), 0, [])) > 30
    assert _found_in(cases, _perfect) == sum(case.expected.must_be_refused for case in cases)


def _found_in(cases: Sequence[Case], outcome: Callable[[Case], Imported | Refused]) -> int:
    return sum(bool(differences(case.expected, outcome(case))) for case in cases)


def _refused(case: Case) -> Imported | Refused:
    return Refused("unreadable", "line 1: first line, gzip, encoding, object.")


def _perfect(case: Case) -> Imported:
    """Return the import that a file is to become."""
    rows = [
        ImportedRow(number, _example(record.payload))
        if isinstance(record, Row)
        else ImportedRow(number, {}, f"{record.column} can't be held")
        for number, record in enumerate(case.expected.records)
    ]
    names = dict.fromkeys(name for row in rows for name in row.payload)
    return Imported(case.expected.columns or tuple(names), len(rows), rows)


def _example(wanted: Any) -> Any:
    """Return a value as it may arrive."""
    if isinstance(wanted, dict):
        return {name: _example(item) for name, item in wanted.items()}
    if isinstance(wanted, list):
        return list(map(_example, wanted))
    return wanted.example if hasattr(wanted, "example") else wanted


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"id,v\n1,a\r\n2,b\n", [{"id": "1", "v": "a"}, {"id": "2", "v": "b"}]),
        (b"id,v\r1,a\r\r2,b", [{"id": "1", "v": "a"}, {"id": "2", "v": "b"}]),
        (b"id,v\n1,a,\n2,b,,,\n3,c\n", [None, None, {"id": "3", "v": "c"}]),
        (b"id\n1\n,\n,,,\n2\n", [{"id": "1"}, None, None, {"id": "2"}]),
        (b'id\n1\n\n""\n  \n', [{"id": "1"}, {"id": ""}, {"id": "  "}]),
        (b'id,v\n1,\n2,""\n3, \n', [{"id": "1", "v": None}, {"id": "2", "v": ""}, {"id": "3", "v": " "}]),
        (b'id,v\n1,"a ""b"", c\r\nd"\n', [{"id": "1", "v": 'a "b", c\r\nd'}]),
        (b"id,v\n\xff,b\n1,a\0\n2,c\n", [None, None, {"id": "2", "v": "c"}]),
        (b"\xef\xbb\xbfid;v\n1;2,3\n", [{"id": "1", "v": "2,3"}]),
        ("\ufeffid,v\n1,é\n".encode("utf-16-le"), [{"id": "1", "v": "é"}]),
        (b"id, v\n1, y\n", [{"id": "1", " v": " y"}]),
    ],
)  # fmt: skip
def test_the_rules_of_csv_are_these(content: bytes, records: list[dict[str, str | None] | None]) -> None:
    expected = judge_csv(content)
    assert expected.refusal is None
    assert [record.payload if isinstance(record, Row) else None for record in expected.records] == records


@pytest.mark.parametrize(
    ("content", "is_certain"),
    [
        (b"", True),
        (b"\n1,2\n", True),
        (b"a,a\n1,2\n", True),
        (b"a,\n1,2\n", True),
        (b'id, "name"\n1,2\n', True),
        (b'a,b\n1,"open\n2,3\n', True),
        (b'a,b\n1,"open\n2,"x"\n', True),
        (b'a,b\n1,x"y\n', False),
        (b'a,b\n1, "x"\n', False),
        (b'a,b\n1,"x"y\n', False),
        (b'a,b\n1,"x\ny",z\n', False),
        ("\ufeffa,b\n".encode("utf-32-le"), True),
    ],
)
def test_a_csv_is_refused_for_faults_that_may_hide_records(content: bytes, *, is_certain: bool) -> None:
    expected = judge_csv(content)
    assert expected.refusal is not None
    assert expected.refusal.is_certain is is_certain


def test_the_rules_of_json_lines_are_these() -> None:
    lines = (
        b'{"id":1,"n":1.0,"big":9223372036854775808,"in":{"a":[null,true]}}\r\n\n \t\n[1]\n'
        b'{"a":1,"\\u0061":2}\n{"a":NaN}\n'
        b'{"a":"\\ud800"}\n{"a":"\\ud83d\\ude00"}\n{"a":"\xff"}\n{"a":"\\u0000"}\n{"a":1e400}\n{"a":1}{"b":2}\nnot\n'
        b'{"z":-0.0}'
    )
    expected = judge_json(lines)
    assert [record.payload if isinstance(record, Row) else record.line for record in expected.records] == [
        {"id": 1, "n": 1.0, "big": "9223372036854775808", "in": {"a": [None, True]}},
        *(4, 5, 6, 7),
        {"a": "\U0001f600"},
        *(9, 10, 11, 12, 13),
        {"z": -0.0},
    ]
