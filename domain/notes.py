"""The findings of reading a submitted body: notes on changed values, errors on refused values.

Pointers are RFC 6901, into the body as it was submitted.
"""

import difflib
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from domain.errors import ECHO_LIMIT, FieldError, SpecRejected

MAX_ERRORS = 100
"""Errors that one answer lists; reading stops there, which bounds the work a hostile body can cause."""

MAX_NOTES = 1_000
"""Notes that one answer lists: 200 models that each name 200 aliases would give 40,000."""


class Action(StrEnum):
    """The treatment of a member of the submitted body."""

    DROPPED_DUPLICATE = "dropped_duplicate"  # `value` stood there again; the one at `kept` runs
    CANONICALIZED = "canonicalized"  # another spelling of the same thing, `from` → `to`
    DEFAULTED = "defaulted"  # it was absent; `to` runs
    MOVED = "moved"  # `to` points to its place in the normalized spec
    KEPT_UNUSED = "kept_unused"  # it has no effect; `to` points to where the normalized spec keeps it, if elsewhere
    KEPT_AS_TEXT = "kept_as_text"  # it looks like a question id but the bank has none such
    CONTRADICTED = "contradicted"  # it contradicts the spec that runs
    PARTLY_SHOWN = "partly_shown"  # lists and files show only a part of its result
    SIMULATED = "simulated"  # the built-in echo answers in place of this provider


class Note(NamedTuple):
    """A difference between the submitted body and the spec that runs.

    A tuple because up to a few dozen are made in a POST, where a frozen dataclass costs three times as much.
    """

    action: Action
    path: str
    from_: str | None = None
    to: str | int | None = None
    value: str | None = None
    kept: str | None = None
    detail: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the member of `normalization` that stands in the answer; absent members are left out."""
        members = {
            "path": self.path,
            "action": self.action.value,
            "from": self.from_,
            "to": self.to,
            "value": self.value,
            "kept": self.kept,
            "detail": self.detail,
        }
        return {name: member for name, member in members.items() if member is not None}


class Part(NamedTuple):
    """A value with its pointer in the submitted body."""

    value: object
    at: str


class Findings:
    """The notes and errors of one reading, in the order in which they were found.

    `pauses` are errors for a new job only: a job from before the pause can still be joined or read.
    """

    __slots__ = ("errors", "notes", "pauses")

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.notes: list[Note] = []
        self.pauses: list[FieldError] = []

    def error(self, at: str, code: str, detail: str, **extra: object) -> None:
        """Add an error; raise `SpecRejected` at once when the answer can't list more."""
        self.errors.append(FieldError(at, code, detail, extra))
        if len(self.errors) >= MAX_ERRORS:
            self.refuse()

    def pause(self, at: str, code: str, detail: str, **extra: object) -> None:
        """Add the error for something paused, up to the number that an answer lists."""
        if len(self.pauses) < MAX_ERRORS:
            self.pauses.append(FieldError(at, code, detail, extra))

    def wrong_type(self, at: str, expected: str) -> None:
        """Add the error for a value of another JSON type than `expected` ("a list of regions")."""
        self.error(at, "wrong_type", f"Give {expected} here.", expected=expected)

    def refuse(self) -> None:
        """Raise `SpecRejected` if any error was found; it includes the pauses."""
        if self.errors:
            raise SpecRejected([*self.errors, *self.pauses][:MAX_ERRORS])

    def listed_notes(self) -> tuple[Note, ...]:
        """Return the notes that an answer lists; if there are more, the last note says how many."""
        hidden = len(self.notes) - MAX_NOTES
        if hidden <= 0:
            return tuple(self.notes)
        last = self.notes[MAX_NOTES - 1]
        return (*self.notes[: MAX_NOTES - 1], last._replace(detail=f"{hidden} more notes are not listed."))


def cut(text: str) -> str:
    """Shorten a name or id that is echoed to `ECHO_LIMIT` characters."""
    return text if len(text) <= ECHO_LIMIT else text[: ECHO_LIMIT - 1] + "…"


def point(at: str, name: str | int) -> str:
    """Return the pointer to the member `name` of the value at `at`; long names are cut, lone surrogates become `?`."""
    if isinstance(name, int):
        return f"{at}/{name}"
    token = cut(name).encode("utf-8", "replace").decode().replace("~", "~0").replace("/", "~1")
    return f"{at}/{token}"


def nearest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name nearest to `name`, or None."""
    matches = difflib.get_close_matches(cut(name), known, n=1, cutoff=cutoff)
    return matches[0] if matches else None
