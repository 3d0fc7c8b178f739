"""What has one function in the database is done by that function alone, whichever statement needs it."""

import re

import pytest

from db.engine import STATEMENTS

TEXT_BY_NAME = {path.stem: path.read_text() for path in STATEMENTS.glob("*.sql")}
ALONE = {
    "write_event": r"INTO events\b",
    "offer_batch": r"INTO ready\b",
    "virtual_finish_time": r"min\(\w+\.turn\)[\s,0)]+FROM ready|\bvirtual_time\(",
    "pauses_of": r"is_paused\s+AND\s+\(|\.kind = '(region|provider)' AND \w+\.name = ",
}


@pytest.mark.parametrize("function", ALONE)
def test_a_function_is_used_by_several_statements_and_gone_around_by_none(function: str) -> None:
    assert [name for name, text in TEXT_BY_NAME.items() if re.search(ALONE[function], text)] == []
    assert sum(f"{function}(" in text for text in TEXT_BY_NAME.values()) >= 5
