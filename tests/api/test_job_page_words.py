"""What a job's page makes of a spec and its notes, and of a timeline; without a page."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from api.schemas.events import Event
from api.schemas.submissions import NormalizationNote
from api.spec_lines import MOST_LINES, noted_lines
from api.timeline_words import entries

SPEC = {"models": ["a", {"id": "b/c~d", "regions": []}], "a/b": {"~": None}, "empty": {}, "ü": 1.5}


def note(path: str) -> NormalizationNote:
    return NormalizationNote.model_validate({"path": path, "action": "moved"})


def event(number: int, type_: str, **data: Any) -> Event:
    return Event(id=number, type=type_, at=datetime.now(UTC), source="w", worker=None, data=data)


@pytest.mark.parametrize("document", [SPEC, [], None, "text", [[[1, 2], []], {"a": [{}]}]])
def test_the_lines_of_a_document_are_the_document(document: Any) -> None:
    text = "\n".join(line.text for line in noted_lines(document).shown)
    assert orjson.loads(text) == document
    assert text == orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/models/1/id", '"id": "b/c~d",'),
        ("/a~1b/~0", '"~": null'),
        ("/models/0", '"a",'),
        ("/models/0/provider", '"a",'),  # what isn't there is noted where it would be
        ("/regions", "{"),
        ("", "{"),
    ],
)
def test_a_note_stands_at_the_line_that_its_pointer_names(path: str, text: str) -> None:
    [line] = [line for line in noted_lines(SPEC, [note(path)]).shown if line.notes]
    assert line.text.strip() == text


def test_a_very_long_document_is_cut_and_says_so() -> None:
    lines = noted_lines([0] * MOST_LINES)
    assert (len(lines.shown), lines.left_out) == (MOST_LINES, 2)


def test_flushes_in_a_row_are_one_entry_with_the_sums_of_what_they_counted() -> None:
    flushes = [
        event(n, "progressed", batches=[{"batch_id": "1", "completed": n, "failed": 1, "dead_letters": 1}])
        for n in (4, 3, 2)
    ]
    ended = event(5, "finished", status="partial", batches=[{"completed": 7, "unknown": 0}])
    planned = event(1, "coordinated", executions=1200, batches=3, note={"left": "out"}, source="manual")
    shown = entries([ended, *flushes, planned])
    assert [(entry.event.id, entry.first.id, entry.times, entry.facts) for entry in shown] == [
        (5, 5, 1, "7 completed"),
        (4, 2, 3, "9 completed, 3 failed, 3 dead letters"),
        (1, 1, 1, "1,200 executions, 3 batches, source: manual"),
    ]
