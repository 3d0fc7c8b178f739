"""Questions by id of the bank, by text, or both."""

import hashlib

import pytest

from domain.registry import DEFAULT_REGIONS, Registry
from tests.domain.bodies import again, errors_of, notes_of, plain, read, refusals


def questions_of(*questions: object) -> list[tuple[str, str]]:
    return [(question.id, question.text) for question in read(plain(questions=list(questions))).spec.questions]


def test_an_id_of_the_bank_gives_its_text():
    assert questions_of("geography_basic") == [("geography_basic", "What is the capital of France?")]


def test_an_object_with_an_id_of_the_bank_gives_its_text():
    assert questions_of({"id": "identity_basic"}) == [("identity_basic", "Who are you?")]


def test_a_text_gets_an_id_from_its_hash():
    digest = hashlib.sha256(b"Why?").hexdigest()
    assert questions_of("Why?") == [(f"q-{digest[:12]}", "Why?")]


def test_a_text_without_an_id_gets_the_same_id_in_an_object():
    assert questions_of({"text": "Why?"}) == questions_of("Why?")


def test_the_id_is_of_the_trimmed_composed_text():
    assert questions_of("  Cafe\u0301?\n") == questions_of("Caf\u00e9?")


def test_a_trimmed_text_is_noted_without_the_text():
    assert notes_of(plain(questions=[" Why? "]), "canonicalized") == [
        {
            "path": "/questions/0",
            "action": "canonicalized",
            "detail": "Surrounding white space was trimmed or Unicode composed.",
        }
    ]


def test_an_own_id_is_kept():
    assert questions_of({"id": "q-geo", "text": "Capital of France?"}) == [("q-geo", "Capital of France?")]


def test_an_unknown_text_like_an_id_is_asked_as_text_and_noted():
    (note,) = notes_of(plain(questions=["math_basics"]), "kept_as_text")
    assert (note["path"], note["value"], "math_basic" in str(note["detail"])) == ("/questions/0", "math_basics", True)


@pytest.mark.parametrize("text", ["Why?", "Why", "Is it 2_2 or 3?", "question one"])
def test_a_text_unlike_an_id_is_not_noted(text):
    assert notes_of(plain(questions=[text]), "kept_as_text") == []


def test_the_same_question_again_is_dropped():
    assert notes_of(plain(questions=["Why?", {"text": "Why? "}]), "dropped_duplicate") == [
        {
            "path": "/questions/1",
            "action": "dropped_duplicate",
            "value": questions_of("Why?")[0][0],
            "kept": "/questions/0",
        }
    ]


def test_the_same_id_with_another_text_is_refused():
    body = plain(questions=[{"id": "a", "text": "Why?"}, {"id": "a", "text": "How?"}])
    (error,) = errors_of(body)
    assert (error.pointer, error.code, error.extra["conflicts_with"]) == (
        "/questions/1",
        "conflicting_question",
        "/questions/0",
    )


def test_an_unknown_id_without_a_text_is_refused_with_the_nearest():
    (error,) = errors_of(plain(questions=[{"id": "math_basics"}]))
    assert (error.pointer, error.code, error.extra["nearest"]) == ("/questions/0/id", "unknown_question", "math_basic")


@pytest.mark.parametrize("questions", [None, []])
def test_questions_must_be_asked(questions):
    assert refusals(plain(questions=questions)) == [("/questions", "questions_missing")]


@pytest.mark.parametrize(
    ("question", "pointer", "code"),
    [
        (1, "/questions/0", "wrong_type"),
        (None, "/questions/0", "wrong_type"),
        ("", "/questions/0", "empty"),
        ("\u3000\n", "/questions/0", "empty"),
        ({}, "/questions/0", "empty"),
        ({"text": ""}, "/questions/0/text", "empty"),
        ({"text": 1}, "/questions/0/text", "wrong_type"),
        ({"id": 1}, "/questions/0/id", "wrong_type"),
        ({"id": "a b", "text": "Why?"}, "/questions/0/id", "invalid_id"),
        ({"id": "", "text": "Why?"}, "/questions/0/id", "invalid_id"),
    ],
)
def test_a_wrong_question_is_refused(question, pointer, code):
    assert refusals(plain(questions=[question])) == [(pointer, code)]


def test_a_bank_id_with_another_text_asks_that_text_and_says_so():
    body = plain(questions=[{"id": "math_basic", "text": "What is 3+3?"}])
    assert [note["path"] for note in notes_of(body, "contradicted")] == ["/questions/0/text"]


def test_the_bank_is_the_operators():
    registry = Registry(DEFAULT_REGIONS, {"my question": " Why?  "})
    reading = read(plain(questions=["my question"]), registry)
    assert again(reading.spec, registry).spec.questions == reading.spec.questions


@pytest.mark.parametrize("questions", [None, [{"id": "absent"}]])
def test_no_detail_leads_to_a_route_that_is_not_there(questions):
    (error,) = errors_of(plain(questions=questions))
    assert "GET /" not in error.detail
    assert "bank" in error.detail
