"""Bring the accepted layouts to one plain form, and keep each value's pointer in the submitted body.

    plain       the members of a spec at the top
    benchmark   `benchmark`, `constraints` and `metadata` beside them; timeouts there are integer nanoseconds
    envelope    `{jobspec, target_regions, …}` around the benchmark layout

Values aren't checked here, only their places and whether a field is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.fields import (
    BENCHMARK_FIELDS,
    BENCHMARK_HOMES,
    BENCHMARK_TOP_FIELDS,
    CONSTRAINT_FIELDS,
    CONSTRAINT_HOMES,
    ENVELOPE_FIELDS,
    MISPLACED,
    OBJECTS_OF_BENCHMARK,
    PLAIN_FIELDS,
    PLAIN_HOMES,
    POLICY_FIELDS,
    POLICY_HOMES,
    UNUSED_BENCHMARK_FIELDS,
    UNUSED_CONSTRAINTS,
    UNUSED_ENVELOPE_FIELDS,
    UNUSED_MODEL_FIELDS,
    UNUSED_TOP_FIELDS,
)
from domain.notes import Action, Findings, Note, Part, point
from domain.policy import MAX_CALL_SECONDS, MIN_SECONDS
from domain.reading import read_object, refuse_unknown
from domain.redaction import is_secret, redacted
from domain.secret_forms import REDACTED

_NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class Draft:
    """The plain form of a body, unread. `parts` has the given members by name; null counts as absent.

    `root` points to the object that holds the spec, `regions_at` to where the job's regions stand or belong.
    `policy` has a part per given field, null included. `prompt` is asked if there are no questions. `envelope_regions`
    must equal the job's. `extensions` collects the values that have no effect.
    """

    root: str
    regions_at: str
    parts: dict[str, Part]
    policy: dict[str, Part] = field(default_factory=dict)
    prompt: Part | None = None
    envelope_regions: Part | None = None
    unused_model_fields: frozenset[str] = frozenset()
    extensions: dict[str, Any] = field(default_factory=dict)


def read_draft(body: Mapping[str, Any], findings: Findings) -> Draft:
    """Return the plain form of a body of any layout."""
    if "jobspec" in body:
        return _read_envelope(body, findings)
    if "benchmark" in body:
        return _read_benchmark_layout(body, "", findings)
    refuse_unknown(body, PLAIN_FIELDS, "", findings, homes=PLAIN_HOMES)
    parts = _parts(body, "")
    draft = Draft("", "/regions", parts, policy=_policy_parts(parts, "", findings))
    if "extensions" in parts:
        draft.extensions.update(redacted(read_object(parts["extensions"], findings)))
    return draft


def _parts(members: Mapping[str, Any], at: str) -> dict[str, Part]:
    """Return the members that are given; names of known fields need no escaping in pointers."""
    return {
        name: Part(value, f"{at}/{name}")
        for name, value in members.items()
        if value is not None and name in PLAIN_FIELDS
    }


def _policy_parts(parts: Mapping[str, Part], root: str, findings: Findings) -> dict[str, Part]:
    policy = parts.get("policy")
    if policy is None:
        return {}
    members = read_object(policy, findings)
    refuse_unknown(members, POLICY_FIELDS, policy.at, findings, homes=POLICY_HOMES, root=root)
    return {name: Part(value, f"{policy.at}/{name}") for name, value in members.items() if name in POLICY_FIELDS}


def _read_envelope(body: Mapping[str, Any], findings: Findings) -> Draft:
    for name in body:
        if name not in ENVELOPE_FIELDS and (name in BENCHMARK_TOP_FIELDS or name in MISPLACED):
            _refuse_misplaced(point("", name), f"/jobspec{MISPLACED.get(name, f'/{name}')}", findings)
    known = ENVELOPE_FIELDS | BENCHMARK_TOP_FIELDS | MISPLACED.keys()
    refuse_unknown(body, known, "", findings, homes=BENCHMARK_HOMES, root="/jobspec")
    draft = _read_benchmark_layout(read_object(Part(body["jobspec"], "/jobspec"), findings), "/jobspec", findings)
    _keep_unused(body, UNUSED_ENVELOPE_FIELDS, draft, findings, at="", under="envelope")
    _offer_policy(draft, "min_success_rate", _part(body, "min_success_rate", ""), findings)
    _take_envelope_regions(draft, _part(body, "target_regions", ""), findings)
    return draft


def _take_envelope_regions(draft: Draft, regions: Part | None, findings: Findings) -> None:
    if regions is None:
        return
    if "regions" in draft.parts:
        draft.envelope_regions = regions
        return
    draft.parts["regions"] = regions
    findings.notes.append(Note(Action.MOVED, regions.at, to="/regions"))


def _read_benchmark_layout(body: Mapping[str, Any], root: str, findings: Findings) -> Draft:
    refuse_unknown(body, BENCHMARK_TOP_FIELDS | MISPLACED.keys(), root, findings, homes=BENCHMARK_HOMES, root=root)
    parts = _parts(body, root)  # or regions that stand one level too high, if there are no others
    parts.pop("extensions", None)
    draft = Draft(
        root,
        f"{root}/constraints/regions",
        parts,
        policy=_policy_parts(parts, root, findings),
        unused_model_fields=UNUSED_MODEL_FIELDS,
    )
    _keep_unused(body, UNUSED_TOP_FIELDS, draft, findings, at=root)
    _take_id(body, draft, findings)
    _take_benchmark(_part(body, "benchmark", root), draft, findings)
    _take_constraints(_part(body, "constraints", root), draft, findings)
    _take_misplaced(body, draft, findings)
    return draft


def _part(members: Mapping[str, Any], name: str, at: str) -> Part | None:
    value = members.get(name)
    return None if value is None else Part(value, f"{at}/{name}")


def _take_id(body: Mapping[str, Any], draft: Draft, findings: Findings) -> None:
    """Take `jobspec_id` for an absent `id`."""
    other = _part(body, "jobspec_id", draft.root)
    if other is None:
        return
    if "id" not in draft.parts:
        draft.parts["id"] = other
        findings.notes.append(Note(Action.MOVED, other.at, to="/id"))
    elif draft.parts["id"].value != other.value:
        _note_contradiction(other.at, draft.parts["id"].at, findings)


def _take_benchmark(part: Part | None, draft: Draft, findings: Findings) -> None:
    if part is None:
        return
    benchmark = read_object(part, findings)
    refuse_unknown(benchmark, BENCHMARK_FIELDS, part.at, findings, homes={})
    for name in OBJECTS_OF_BENCHMARK:
        read_object(_part(benchmark, name, part.at), findings)
    _keep_unused(benchmark, UNUSED_BENCHMARK_FIELDS, draft, findings, at=part.at, under="benchmark")
    _take_name(_part(benchmark, "name", part.at), draft, findings)
    _take_input(_part(benchmark, "input", part.at), draft, findings)


def _take_name(name: Part | None, draft: Draft, findings: Findings) -> None:
    """Take the benchmark's name for the job unless the body names the job itself."""
    if name is None:
        return
    given = draft.parts.setdefault("name", name)
    if given.value != name.value:
        _note_contradiction(name.at, given.at, findings)


def _take_input(part: Part | None, draft: Draft, findings: Findings) -> None:
    """Take the prompt of an input, which is asked if there are no questions; questions don't belong into it."""
    if part is None:
        return
    members = part.value if isinstance(part.value, dict) else {}
    questions = _part(members, "questions", part.at)
    if questions is not None:
        _refuse_misplaced(questions.at, f"{draft.root}/questions", findings)
        draft.parts.setdefault("questions", questions)
    content = _part(members, "data", part.at)
    if content is not None and isinstance(content.value, dict):
        draft.prompt = _part(content.value, "prompt", content.at)


def _take_constraints(part: Part | None, draft: Draft, findings: Findings) -> None:
    if part is None:
        return
    constraints = read_object(part, findings)
    refuse_unknown(constraints, CONSTRAINT_FIELDS, part.at, findings, homes=CONSTRAINT_HOMES, root=draft.root)
    _keep_unused(constraints, UNUSED_CONSTRAINTS, draft, findings, at=part.at, under="constraints")
    regions = _part(constraints, "regions", part.at)
    if regions is not None:
        draft.parts["regions"] = regions
    read_nanoseconds(_part(constraints, "timeout", part.at), findings)
    provider_timeout = read_nanoseconds(_part(constraints, "provider_timeout", part.at), findings)
    _offer_policy(draft, "timeout_seconds", provider_timeout, findings)
    _offer_policy(draft, "min_success_rate", _part(constraints, "min_success_rate", part.at), findings)


def _take_misplaced(body: Mapping[str, Any], draft: Draft, findings: Findings) -> None:
    """Refuse members that stand one level too high, but read them, so that they aren't reported as missing as well."""
    for name, home in MISPLACED.items():
        part = _part(body, name, draft.root)
        if part is not None:
            _refuse_misplaced(part.at, draft.root + home, findings)
    _take_input(_part(body, "input", draft.root), draft, findings)


def read_nanoseconds(part: Part | None, findings: Findings) -> Part | None:
    """Return the seconds of a timeout in integer nanoseconds, in place of it; None if absent or refused."""
    if part is None:
        return None
    value = part.value
    low, high = int(MIN_SECONDS * _NANOSECONDS), MAX_CALL_SECONDS * _NANOSECONDS
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        detail = f"Give an integer of nanoseconds from {low} to {high}: 600 s is 600000000000."
        findings.error(part.at, "invalid_timeout", detail, min=low, max=high)
        return None
    seconds, remainder = divmod(value, _NANOSECONDS)
    return part._replace(value=value / _NANOSECONDS if remainder else seconds)


def _offer_policy(draft: Draft, name: str, part: Part | None, findings: Findings) -> None:
    """Take a value of the layout into the policy unless the policy has it."""
    if part is None:
        return
    given = draft.policy.setdefault(name, part)
    if given is part:
        findings.notes.append(Note(Action.MOVED, part.at, to=f"/policy/{name}"))
    elif given.value != part.value:
        _note_contradiction(part.at, given.at, findings)


def _keep_unused(
    members: Mapping[str, Any], names: frozenset[str], draft: Draft, findings: Findings, *, at: str, under: str = ""
) -> None:
    """Copy the named members, which have no effect, to the extensions `under` a name, secrets redacted; note each."""
    kept = {
        name: REDACTED if is_secret(name) else redacted(value)
        for name, value in members.items()
        if name in names and value is not None
    }
    holder = draft.extensions.setdefault(under, {}) if under and kept else draft.extensions
    holder.update(kept)
    kept_at = f"/extensions/{under}" if under else "/extensions"
    findings.notes.extend(Note(Action.KEPT_UNUSED, f"{at}/{name}", to=f"{kept_at}/{name}") for name in kept)


def _note_contradiction(at: str, kept: str, findings: Findings) -> None:
    findings.notes.append(Note(Action.CONTRADICTED, at, kept=kept, detail=f"{kept} says otherwise and holds."))


def _refuse_misplaced(at: str, home: str, findings: Findings) -> None:
    findings.error(at, "misplaced_field", f"In this layout it belongs to {home}.", move_to=home)
