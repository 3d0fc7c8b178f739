"""Read a single value of a submitted body: texts, numbers, lists, objects; or add an error that says what is expected.

Each reader returns None after it added an error. No field of a spec is named here.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, TypeVar
from unicodedata import normalize as normalize_unicode

from domain.notes import Action, Findings, Note, Part, cut, nearest, point

MAX_ITEMS = 200
"""Items per axis (models, regions, questions), checked before any of them is read."""

MAX_LABEL_LENGTH = 200
"""Characters of a name, model id or provider; the longest public model ids have about 100."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN_LABEL = re.compile(rf"[!-~](?:[ -~]{{0,{MAX_LABEL_LENGTH - 2}}}[!-~])?")
_Choice = TypeVar("_Choice", bound=StrEnum)


def clean(text: str) -> str:
    """Return the text in Unicode's NFC without surrounding white space: the form in which texts are compared."""
    return text.strip() if text.isascii() else normalize_unicode("NFC", text).strip()


def read_object(part: Part | None, findings: Findings) -> Mapping[str, Any]:
    """Return the object; an empty one if it is absent or refused."""
    if part is None:
        return {}
    if isinstance(part.value, dict):
        return part.value
    findings.wrong_type(part.at, "an object")
    return {}


def read_list(part: Part, expected: str, findings: Findings, *, limit: int = MAX_ITEMS) -> list[Any] | None:
    """Return the list unless it has more than `limit` items; `expected` names its items ("regions")."""
    if not isinstance(part.value, list):
        findings.wrong_type(part.at, f"a list of {expected}")
        return None
    if len(part.value) > limit:
        findings.error(part.at, "too_many", f"Give at most {limit} {expected}.", limit=limit)
        return None
    return part.value


def read_text(value: object, at: str, findings: Findings) -> str | None:
    """Return a non-empty text, cleaned; a change is noted without the text itself."""
    if not isinstance(value, str):
        findings.wrong_type(at, "a text")
        return None
    text = clean(value)
    if not text:
        findings.error(at, "empty", "Give a text that is not empty.")
        return None
    if text != value:
        detail = "Surrounding white space was trimmed or Unicode composed."
        findings.notes.append(Note(Action.CANONICALIZED, at, detail=detail))
    return text


def read_member_label(members: Mapping[str, Any], name: str, at: str, findings: Findings) -> str | None:
    """Return the label under `name`; its pointer is built only if needed."""
    value = members[name]
    if isinstance(value, str) and _PLAIN_LABEL.fullmatch(value):
        return value
    return read_label(Part(value, f"{at}/{name}"), findings)


def read_label(part: Part, findings: Findings) -> str | None:
    """Return a name or a model id: a short cleaned text without control characters."""
    if not isinstance(part.value, str):
        findings.wrong_type(part.at, "a text")
        return None
    label = clean(part.value)
    if not label:
        findings.error(part.at, "empty", "Give a text that is not empty.")
        return None
    if len(label) > MAX_LABEL_LENGTH:
        detail = f"Give at most {MAX_LABEL_LENGTH} characters."
        findings.error(part.at, "too_long", detail, limit=MAX_LABEL_LENGTH)
        return None
    if not label.isprintable() and _CONTROL.search(label):
        findings.error(part.at, "invalid_character", "Take line breaks and control characters out of it.")
        return None
    if label != part.value:
        findings.notes.append(Note(Action.CANONICALIZED, part.at, from_=cut(part.value), to=cut(label)))
    return label


def read_verbatim(part: Part, limit: int, findings: Findings) -> str | None:
    """Return a name from another system (a column, a path) unchanged: neither trimmed nor composed."""
    if not isinstance(part.value, str):
        findings.wrong_type(part.at, "a text")
    elif not part.value.strip():
        findings.error(part.at, "empty", "Give a text that is not empty.")
    elif len(part.value) > limit:
        findings.error(part.at, "too_long", f"Give at most {limit} characters.", limit=limit)
    elif _CONTROL.search(part.value):
        findings.error(part.at, "invalid_character", "Take line breaks and control characters out of it.")
    else:
        return part.value
    return None


def read_id(part: Part, findings: Findings) -> str | None:
    """Return an id that the client chose, unchanged."""
    if not isinstance(part.value, str):
        findings.wrong_type(part.at, "a text")
        return None
    if ID.fullmatch(part.value):
        return part.value
    detail = "Begin an id with a letter or digit; go on with at most 99 letters, digits, `.`, `_`, `:` or `-`."
    findings.error(part.at, "invalid_id", detail, pattern=ID.pattern)
    return None


def read_choice(part: Part, choices: type[_Choice], findings: Findings) -> _Choice | None:
    """Return the member of `choices` that the value names exactly."""
    if isinstance(part.value, str) and part.value in choices._value2member_map_:
        return choices(part.value)
    allowed = [choice.value for choice in choices]
    findings.error(part.at, "unknown_choice", f"Give one of {', '.join(allowed)}.", allowed=allowed)
    return None


def read_integer(part: Part, low: int, high: int, findings: Findings) -> int | None:
    """Return the integer between the bounds; true and 3.0 are refused."""
    if isinstance(part.value, bool) or not isinstance(part.value, int):
        findings.wrong_type(part.at, "an integer")
        return None
    if low <= part.value <= high:
        return part.value
    _out_of_range(part, low, high, findings)
    return None


def read_number(part: Part, low: float, high: float, findings: Findings) -> float | None:
    """Return the number between the bounds; a whole number as an integer, so that 300 and 300.0 look the same."""
    if isinstance(part.value, bool) or not isinstance(part.value, (int, float)):
        findings.wrong_type(part.at, "a number")
        return None
    if low <= part.value <= high:
        return int(part.value) if part.value == int(part.value) else part.value
    _out_of_range(part, low, high, findings)
    return None


def _out_of_range(part: Part, low: float, high: float, findings: Findings) -> None:
    findings.error(part.at, "out_of_range", f"Give a number from {low:.12g} to {high:.12g}.", min=low, max=high)


def refuse_misplaced(members: Mapping[str, Any], details: Mapping[str, str], at: str, findings: Findings) -> None:
    """Add an error with its remedy for each member that can't be here; null counts as absent."""
    for name in members:
        if name in details and members[name] is not None:
            findings.error(f"{at}/{name}", "misplaced_field", details[name])


def refuse_unknown(
    members: Mapping[str, Any],
    known: AbstractSet[str],
    at: str,
    findings: Findings,
    *,
    homes: Mapping[str, str],
    root: str = "",
    refused: AbstractSet[str] = frozenset(),
) -> None:
    """Add an error for each unknown member, with the nearest known name or its right place.

    `homes` maps names that belong elsewhere to pointers below `root`. Names that are `refused` already are passed over,
    and not suggested. In the order of the body.
    """
    if members.keys() <= known:
        return
    for name in members:
        if name not in known and name not in refused:
            _refuse_unknown_member(name, known, point(at, name), findings, home=homes.get(name), root=root)


def _refuse_unknown_member(
    name: str, known: AbstractSet[str], at: str, findings: Findings, *, home: str | None, root: str
) -> None:
    shown = cut(name)
    if home is not None:
        detail = f"There is no `{shown}` here; what it says belongs to {root}{home}."
        findings.error(at, "unknown_field", detail, nearest=home.rpartition("/")[2], move_to=root + home)
    elif guess := nearest(name, known):
        detail = f"There is no `{shown}` here; `{guess}` is the nearest known name."
        findings.error(at, "unknown_field", detail, nearest=guess)
    else:
        allowed = sorted(known)
        detail = f"There is no `{shown}` here; take it out. Known here: {', '.join(allowed)}."
        findings.error(at, "unknown_field", detail, allowed=allowed)
