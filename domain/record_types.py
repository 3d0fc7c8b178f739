"""Read the record types of an import: their keys, their sources, and the graph of their dependencies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.import_fields import RECORD_TYPE_FIELDS, RECORD_TYPE_HOMES
from domain.import_spec import RecordType
from domain.notes import Action, Findings, Note, Part, cut, nearest
from domain.reading import MAX_LABEL_LENGTH, read_id, read_list, read_verbatim, refuse_unknown
from domain.scope import Scope
from domain.sources.reading import read_source
from domain.sources.registry import SOURCE_BY_TYPE
from domain.sources.source import Source
from domain.waves import find_cycles

MAX_KEY_COLUMNS = 16
MAX_CYCLES = 5
"""Cycles that an answer names; one dependency of each must be removed."""
_SHOWN_NODES = 20
_MAX_GUESSES = 3
"""Unknown dependencies of one body whose nearest id is looked for: among 200 long ids each costs up to 0.1 s."""


@dataclass(slots=True)
class _Reading:
    """The ids of a list; `graph` and `at_by_id` hold the first record type's dependencies and pointer for each id."""

    scope: Scope
    given_ids: frozenset[str]
    graph: dict[str, tuple[str, ...]] = field(default_factory=dict)
    at_by_id: dict[str, str] = field(default_factory=dict)
    guesses: int = 0


def read_record_types(part: Part | None, scope: Scope) -> tuple[RecordType, ...]:
    """Return the record types in their order, without duplicates; a differing duplicate or a cycle is an error."""
    if part is None or part.value == []:
        scope.findings.error("/record_types", "record_types_missing", "Name at least one record type.")
        return ()
    values = read_list(part, "record types", scope.findings) or ()
    reading = _Reading(scope, frozenset(value["id"] for value in values if _has_id(value)))
    kept_by_id: dict[str, tuple[RecordType, str]] = {}
    for index, value in enumerate(values):
        at = f"{part.at}/{index}"
        record_type = _read_record_type(value, at, reading)
        if record_type is None:
            continue
        kept, kept_at = kept_by_id.setdefault(record_type.id, (record_type, at))
        if kept_at != at:
            _drop_duplicate(record_type, kept, at, kept_at, scope.findings)
    _refuse_cycles(reading)
    return tuple([record_type for record_type, _ in kept_by_id.values()])


def _has_id(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _drop_duplicate(duplicate: RecordType, kept: RecordType, at: str, kept_at: str, findings: Findings) -> None:
    differing = [
        name
        for name, differs in (
            ("key", duplicate.key != kept.key),
            ("source", duplicate.source != kept.source),
            ("depends_on", set(duplicate.depends_on) != set(kept.depends_on)),
        )
        if differs
    ]
    if not differing:
        findings.notes.append(Note(Action.DROPPED_DUPLICATE, at, value=cut(duplicate.id), kept=kept_at))
        return
    detail = (
        f"Record type `{cut(duplicate.id)}` differs in {' and '.join(differing)} from {kept_at}; give one of them only."
    )
    findings.error(at, "conflicting_record_type", detail, conflicts_with=kept_at, differing=differing)


def _read_record_type(value: object, at: str, reading: _Reading) -> RecordType | None:
    findings = reading.scope.findings
    if not isinstance(value, dict):
        findings.wrong_type(at, "an object with `id`, `key` and `source`")
        return None
    refuse_unknown(value, RECORD_TYPE_FIELDS, at, findings, homes=RECORD_TYPE_HOMES, root=at)
    record_type_id = _read_record_type_id(value, at, findings)
    key = _read_key(value, at, findings)
    source = _read_member_source(value, at, reading.scope)
    depends_on = _read_depends_on(value, at, reading)
    if record_type_id is None:
        return None
    reading.graph.setdefault(record_type_id, depends_on)
    reading.at_by_id.setdefault(record_type_id, at)
    if key is None or source is None:
        return None
    return RecordType(record_type_id, key, source, depends_on)


def _read_record_type_id(members: Mapping[str, Any], at: str, findings: Findings) -> str | None:
    if members.get("id") is not None:
        return read_id(Part(members["id"], f"{at}/id"), findings)
    findings.error(f"{at}/id", "empty", "Give the record type's `id`.")
    return None


def _read_key(members: Mapping[str, Any], at: str, findings: Findings) -> tuple[str, ...] | None:
    """Return the columns of the key, in their order. A repeated column is an error."""
    given = members.get("key")
    if given is None or given == []:
        detail = "Name the columns that tell its rows apart; there is no default key."
        findings.error(f"{at}/key", "key_missing", detail)
        return None
    part = Part(given, f"{at}/key")
    columns: dict[str, str] = {}
    values = read_list(part, "columns", findings, limit=MAX_KEY_COLUMNS) or ()
    for index, value in enumerate(values):
        column_at = f"{part.at}/{index}"
        column = read_verbatim(Part(value, column_at), MAX_LABEL_LENGTH, findings)
        if column is not None and columns.setdefault(column, column_at) != column_at:
            detail = f"Name each column once: {columns[column]} names it too."
            findings.error(column_at, "duplicate_column", detail, conflicts_with=columns[column])
    return tuple(columns) if columns and len(columns) == len(values) else None


def _read_member_source(members: Mapping[str, Any], at: str, scope: Scope) -> Source | None:
    if members.get("source") is not None:
        return read_source(Part(members["source"], f"{at}/source"), scope)
    *types, last = (f"`{source_type}`" for source_type in SOURCE_BY_TYPE)
    detail = f"Say where its rows come from: an object with `type` {', '.join(types)} or {last}."
    scope.findings.error(f"{at}/source", "source_missing", detail)
    return None


def _read_depends_on(members: Mapping[str, Any], at: str, reading: _Reading) -> tuple[str, ...]:
    """Return the ids that are loaded before this one, in their order and without duplicates."""
    given = members.get("depends_on")
    if given is None:
        return ()
    part = Part(given, f"{at}/depends_on")
    findings = reading.scope.findings
    at_by_id: dict[str, str] = {}
    for index, value in enumerate(read_list(part, "ids of record types", findings) or ()):
        value_at = f"{part.at}/{index}"
        if not _is_dependency(value, value_at, members.get("id"), reading):
            continue
        kept_at = at_by_id.setdefault(value, value_at)
        if kept_at != value_at:
            findings.notes.append(Note(Action.DROPPED_DUPLICATE, value_at, value=cut(value), kept=kept_at))
    return tuple(at_by_id)


def _is_dependency(value: object, at: str, own_id: object, reading: _Reading) -> bool:
    findings = reading.scope.findings
    if not isinstance(value, str):
        findings.wrong_type(at, "the id of a record type")
    elif value == own_id:
        detail = f"`{cut(value)}` can't wait for itself; take it out of its own `depends_on`."
        findings.error(at, "self_dependency", detail)
    elif value not in reading.given_ids:
        _refuse_unknown_dependency(value, at, reading)
    else:
        return True
    return False


def _refuse_unknown_dependency(value: str, at: str, reading: _Reading) -> None:
    reading.guesses += 1
    guess = nearest(value, sorted(reading.given_ids)) if reading.guesses <= _MAX_GUESSES else None
    remedy = f"the nearest id is `{cut(guess)}`" if guess else "add it to `record_types`, or take it out here"
    detail = f"No record type has the id `{cut(value)}`; {remedy}."
    extra = {"nearest": cut(guess)} if guess else {}
    reading.scope.findings.error(at, "unknown_dependency", detail, **extra)


def _refuse_cycles(reading: _Reading) -> None:
    for cycle in find_cycles(reading.graph, limit=MAX_CYCLES):
        shown = cycle if len(cycle) <= _SHOWN_NODES else [*cycle[: _SHOWN_NODES - 1], "…", cycle[-1]]
        detail = f"Each waits for the next: {' → '.join(shown)}. Take one of these dependencies out."
        at = f"{reading.at_by_id[cycle[0]]}/depends_on"
        reading.scope.findings.error(at, "dependency_cycle", detail, cycle=cycle)
