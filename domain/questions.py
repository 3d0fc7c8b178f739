"""Read the questions of a submitted body: ids of the bank, texts, or both."""

import re
from hashlib import sha256

from domain.errors import ECHO_LIMIT
from domain.notes import Action, Findings, Note, Part, cut, nearest
from domain.reading import clean, read_id, read_list, read_text, refuse_unknown
from domain.scope import Scope
from domain.spec import Question

QUESTION_FIELDS = frozenset({"id", "text"})
_HOMES = {"question_id": "/id", "question": "/text", "prompt": "/text"}
_LOOKS_LIKE_ID = re.compile(r"[A-Za-z0-9]+(?:[._:-][A-Za-z0-9]+)+")
_MAX_GUESSES = 50
"""The largest bank in which the nearest id is suggested; in a larger bank the search would take too long."""


def read_questions(part: Part, scope: Scope) -> tuple[Question, ...]:
    """Return the questions in their order, without duplicates; an id with two different texts is an error."""
    values = read_list(part, "questions", scope.findings)
    kept_by_id: dict[str, tuple[Question, int]] = {}
    for index, value in enumerate(values or ()):
        question = read_question(value, f"{part.at}/{index}", scope)
        if question is None:
            continue
        kept, kept_index = kept_by_id.setdefault(question.id, (question, index))
        if kept_index != index:
            _drop_duplicate(question, kept, f"{part.at}/{index}", f"{part.at}/{kept_index}", scope.findings)
    return tuple([question for question, _ in kept_by_id.values()])


def _drop_duplicate(duplicate: Question, kept: Question, at: str, kept_at: str, findings: Findings) -> None:
    if duplicate.text == kept.text:
        findings.notes.append(Note(Action.DROPPED_DUPLICATE, at, value=cut(duplicate.id), kept=kept_at))
        return
    detail = f"Question `{cut(duplicate.id)}` has another text at {kept_at}; give one of them another id."
    findings.error(at, "conflicting_question", detail, conflicts_with=kept_at)


def read_question(value: object, at: str, scope: Scope) -> Question | None:
    """Return the question of a text, an id of the bank or an object."""
    if isinstance(value, str):
        return _read_string(value, at, scope)
    if isinstance(value, dict):
        return _read_object(value, at, scope)
    scope.findings.wrong_type(at, "a text, or an object with `id` or `text`")
    return None


def _read_string(value: str, at: str, scope: Scope) -> Question | None:
    text = read_text(value, at, scope.findings)
    if text is None:
        return None
    banked = scope.registry.questions.get(text)
    if banked is not None:
        return Question(text, clean(banked))
    if " " not in text and len(text) <= ECHO_LIMIT and _LOOKS_LIKE_ID.fullmatch(text):
        _note_text(text, at, scope)
    return Question(derived_id(text), text)


def derived_id(text: str) -> str:
    """Return the id of a question that has only a text."""
    return f"q-{sha256(text.encode()).hexdigest()[:12]}"


def _note_text(text: str, at: str, scope: Scope) -> None:
    detail = "It looks like an id, but the question bank has none such; it is asked as it stands."
    guess = _guess(text, scope)
    if guess:
        detail += f" The nearest id is `{guess}`."
    scope.findings.notes.append(Note(Action.KEPT_AS_TEXT, at, value=cut(text), detail=detail))


def _read_object(members: dict[str, object], at: str, scope: Scope) -> Question | None:
    refuse_unknown(members, QUESTION_FIELDS, at, scope.findings, homes=_HOMES, root=at)
    if members.get("text") is None:
        return _read_banked(Part(members.get("id"), f"{at}/id"), at, scope)
    text = read_text(members["text"], f"{at}/text", scope.findings)
    if text is None:
        return None
    given_id = members.get("id")
    if given_id is None:
        return Question(derived_id(text), text)
    question_id = _read_own_id(Part(given_id, f"{at}/id"), scope)
    if question_id is None:
        return None
    _note_other_text(question_id, text, at, scope)
    return Question(question_id, text)


def _read_own_id(part: Part, scope: Scope) -> str | None:
    """Return the client's id; an id of the bank is returned in the operator's spelling."""
    if isinstance(part.value, str) and part.value in scope.registry.questions:
        return part.value
    return read_id(part, scope.findings)


def _read_banked(part: Part, at: str, scope: Scope) -> Question | None:
    """Return the bank's question of an object without a text."""
    if part.value is None:
        scope.findings.error(at, "empty", "Give `text`, or the `id` of a question of the bank.")
    elif not isinstance(part.value, str):
        scope.findings.wrong_type(part.at, "a text")
    elif (banked := scope.registry.questions.get(part.value)) is not None:
        return Question(part.value, clean(banked))
    else:
        _refuse_unknown_question(part.value, part.at, scope)
    return None


def _refuse_unknown_question(question_id: str, at: str, scope: Scope) -> None:
    detail = f"The question bank has no `{cut(question_id)}`; give its `text`, or an id that the bank has."
    guess = _guess(question_id, scope)
    scope.findings.error(at, "unknown_question", detail, **({"nearest": guess} if guess else {}))


def _guess(question_id: str, scope: Scope) -> str | None:
    bank = scope.registry.questions
    return nearest(question_id, bank) if len(bank) <= _MAX_GUESSES else None


def _note_other_text(question_id: str, text: str, at: str, scope: Scope) -> None:
    banked = scope.registry.questions.get(question_id)
    if banked is not None and clean(banked) != text:
        detail = "The question bank has another text under this id; the text given here is asked."
        scope.findings.notes.append(Note(Action.CONTRADICTED, f"{at}/text", value=cut(question_id), detail=detail))
