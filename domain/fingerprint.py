"""Comparing specs and bodies: canonical JSON, its hashes, and the places where two values differ.

Canonical JSON here: keys in code point order, text in NFC, no white space, and one spelling for each number, so that
300, 300.0 and 3e2 are equal while 1, true and "1" are three values. Exact JSON differs in two things that a provider
sees and that change its answers: the members of an object keep their order, and text stays as it is. It is used for the
values of `parameters`, and only where that makes a difference: the prefix then is `h2:` or `b2:`. A change of anything
here needs a new prefix, since stored hashes would no longer match; golden vectors in the tests hold it still.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from hashlib import sha256
from itertools import islice
from operator import attrgetter
from typing import Any
from unicodedata import is_normalized
from unicodedata import normalize as normalize_unicode

from domain.import_spec import ImportSpec, RecordType
from domain.notes import point
from domain.spec import JobSpec, Model, Policy, Question

MAX_DIFFERENCES = 20
_INTEGER_LIMIT = 2**63
_H1_POLICY = (
    "max_concurrent",
    "timeout_seconds",
    "queue_timeout_seconds",
    "max_attempts",
    "min_success_rate",
    "delivery",
    "on_paused",
)
"""The fields of a policy that `h1:` hashes. Later fields count only if they aren't at their default, under `h2:`."""
_LATER_POLICY = tuple((field.name, field.default) for field in fields(Policy) if field.name not in _H1_POLICY)
_ID = attrgetter("id")
_quote = json.encoder.encode_basestring
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def spec_hash(spec: JobSpec) -> str:
    """Return the hash that two inference specs share if they are the same work: `h1:` or `h2:` and 64 hex digits.

    `h2:` where the policy uses a field that came after `h1:` was frozen, or `parameters` hold objects or text that
    isn't in NFC: a provider sees the order of their members, and which form the text has. A parameter that is null
    isn't sent, so it counts as absent.

    Kind, name, models with their regions, questions, parameters and policy count; the order of models, regions and
    questions does not. Never counted: id, on_duplicate, metadata, extensions and regions that no model runs in.
    """
    return ("h2:" if _needs_h2(spec) else "h1:") + _sha256(identity_json(spec))


def import_hash(spec: ImportSpec) -> str:
    """Return the hash that two imports share if they are the same work: `h1:` and 64 hex digits.

    Kind, name, dataset, record types and policy count; the order of record types and of their dependencies does not,
    the order of a key's columns does. Never counted: id, on_duplicate and metadata.
    """
    return "h1:" + _sha256(import_identity_json(spec))


def body_hash(body: object) -> str:
    """Return `b1:` or `b2:` and 64 hex digits over a submitted body, to compare it under an Idempotency-Key.

    `b2:` where any `parameters` in it hold values that only exact JSON distinguishes, as under `h2:`. Expects a body
    that `normalize` took: its depth and numbers are bounded.
    """
    if _has_exact_parameters(body):
        return "b2:" + _sha256(_encode(_canonical_but_parameters(body)))
    return "b1:" + _sha256(canonical_json(body))


def is_same_body(stored_hash: str, body: object) -> bool:
    """Say whether `body` has the stored hash, by the version of that hash."""
    return stored_hash == ("b1:" + _sha256(canonical_json(body)) if stored_hash.startswith("b1:") else body_hash(body))


def canonical_json(value: object) -> str:
    """Return the canonical text of a JSON value."""
    return _encode(_canonical(value))


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity_json(spec: JobSpec) -> str:
    """Return the canonical JSON that `spec_hash` hashes; the texts of a normalized spec are composed already.

    The text is assembled rather than encoded from objects: that takes a third of the time, and each POST does it.
    """
    regions = {regions: _regions_json(regions) for regions in {model.regions for model in spec.models}}
    models = ",".join([_model_json(model, regions[model.regions]) for model in sorted(spec.models, key=_ID)])
    questions = ",".join([_question_json(question) for question in sorted(spec.questions, key=_ID)])
    return (
        f'{{"kind":{_quote(spec.kind)},"models":[{models}],"name":{_quote(spec.name)}'
        f',"parameters":{_parameters_json(spec.parameters)},"policy":{_policy_json(spec.policy)}'
        f',"questions":[{questions}]}}'
    )


def _regions_json(regions: tuple[str, ...]) -> str:
    return ",".join([_quote(region) for region in sorted(regions)])


def _model_json(model: Model, regions: str) -> str:
    return (
        f'{{"id":{_quote(model.id)},"name":{_quote(model.name)},"provider":{_quote(model.provider)}'
        f',"regions":[{regions}]}}'
    )


def _question_json(question: Question) -> str:
    return f'{{"id":{_quote(question.id)},"text":{_quote(question.text)}}}'


def _policy_json(policy: Policy) -> str:
    return canonical_json({**{name: getattr(policy, name) for name in _H1_POLICY}, **_later_policy(policy)})


def _later_policy(policy: Policy) -> dict[str, Any]:
    """Return the fields that `h1:` doesn't know and that aren't at their default."""
    return {name: value for name, default in _LATER_POLICY if (value := getattr(policy, name)) != default}


def _parameters_json(parameters: Mapping[str, Any]) -> str:
    """Return the parameters that are sent: exact JSON where it matters; their own order is never seen."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return _encode(_exact_members(given)) if _is_exact_object(given) else canonical_json(given)


def _needs_h2(spec: JobSpec) -> bool:
    given = {name: value for name, value in spec.parameters.items() if value is not None}
    return bool(_later_policy(spec.policy)) or _is_exact_object(given)


def import_identity_json(spec: ImportSpec) -> str:
    """Return the canonical JSON that `spec_hash` hashes for an import.

    Texts stay as they are: paths or columns that differ only in their Unicode form may be different ones.
    """
    return _encode(
        {
            "dataset": spec.dataset,
            "kind": spec.kind,
            "name": spec.name,
            "policy": _canonical(spec.policy.to_json()),
            "record_types": [_record_type_identity(record_type) for record_type in sorted(spec.record_types, key=_ID)],
        }
    )


def _record_type_identity(record_type: RecordType) -> dict[str, Any]:
    return {
        "depends_on": sorted(record_type.depends_on),
        "id": record_type.id,
        "key": record_type.key,
        "source": dict(sorted(record_type.source.to_json().items())),
    }


def _canonical(value: Any) -> Any:
    """Return the value with ordered keys, composed texts and whole floats as integers."""
    if isinstance(value, str):
        return value if value.isascii() else normalize_unicode("NFC", value)
    if isinstance(value, dict):
        return _canonical_object(value)
    if isinstance(value, (list, tuple)):
        return [_canonical(member) for member in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _INTEGER_LIMIT:
        return int(value)
    return value


def _is_exact_object(parameters: Mapping[str, Any]) -> bool:
    """Say whether parameters hold objects, or text that isn't in NFC."""
    return any(not _is_nfc(name) or _is_exact(value) for name, value in parameters.items())


def _is_exact(value: Any) -> bool:
    if isinstance(value, str):
        return not _is_nfc(value)
    if isinstance(value, list):
        return any(_is_exact(member) for member in value)
    return isinstance(value, dict)


def _is_nfc(text: str) -> bool:
    return text.isascii() or is_normalized("NFC", text)


def _exact_members(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _exact(parameters[name]) for name in sorted(parameters)}


def _exact(value: Any) -> Any:
    """Return the value with whole floats as integers, and everything else as it is."""
    if isinstance(value, dict):
        return {name: _exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_exact(member) for member in value]
    return _canonical(value) if isinstance(value, float) else value


def _has_exact_parameters(body: Any) -> bool:
    """Say whether any member `parameters` of a body, in any layout, needs exact JSON."""
    if isinstance(body, list):
        return any(_has_exact_parameters(member) for member in body)
    if not isinstance(body, dict):
        return False
    return any(
        (name == "parameters" and isinstance(member, dict) and _is_exact_object(member))
        or _has_exact_parameters(member)
        for name, member in body.items()
    )


def _canonical_but_parameters(value: Any) -> Any:
    """Return canonical JSON's value with exact values below every member `parameters`."""
    if isinstance(value, list):
        return [_canonical_but_parameters(member) for member in value]
    if not isinstance(value, dict):
        return _canonical(value)
    ordered = {name: _canonical_but_parameters(value[name]) for name in sorted(value)}
    if isinstance(value.get("parameters"), dict):
        ordered["parameters"] = _exact_members(value["parameters"])
    return ordered


def _canonical_object(members: dict[str, Any]) -> dict[str, Any]:
    """Return the object with its keys composed, then ordered; as they came if two of them would become one."""
    composed = {_canonical(name): member for name, member in members.items()}
    if len(composed) < len(members):
        composed = members
    return {name: _canonical(composed[name]) for name in sorted(composed)}


def differences(a: object, b: object, *, limit: int = MAX_DIFFERENCES) -> list[str]:
    """Return pointers to the differences of two JSON values, at most `limit`; equal values give none.

    Compared as `body_hash` compares. A pointer ends where one side has no such member or the types differ. Never
    contains a value. If only the order of members or the form of text differs, the pointers name the parameters that
    differ.
    """
    found = list(islice(_differences(_canonical(a), _canonical(b), ""), limit))
    return found or list(islice(_exact_differences(a, b, ""), limit))


def _exact_differences(a: Any, b: Any, at: str) -> Iterator[str]:
    """Return pointers to the parameters that differ in exact JSON, of two values that are canonically equal."""
    if isinstance(a, list) and isinstance(b, list):
        for index, (ours, other) in enumerate(zip(a, b, strict=False)):
            yield from _exact_differences(ours, other, point(at, index))
    elif isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() & b.keys()):
            ours, other, here = a[name], b[name], point(at, name)
            if name == "parameters" and isinstance(ours, dict) and isinstance(other, dict):
                yield from _parameter_differences(ours, other, here)
            else:
                yield from _exact_differences(ours, other, here)


def _parameter_differences(a: dict[str, Any], b: dict[str, Any], at: str) -> Iterator[str]:
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b or _encode(_exact(a[name])) != _encode(_exact(b[name])):
            yield point(at, name)


def _differences(a: Any, b: Any, at: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            yield from _member_differences(a, b, name, point(at, name))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            if index >= len(a) or index >= len(b):
                yield point(at, index)
            else:
                yield from _differences(a[index], b[index], point(at, index))
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield at


def _member_differences(a: dict[str, Any], b: dict[str, Any], name: str, at: str) -> Iterator[str]:
    if name in a and name in b:
        yield from _differences(a[name], b[name], at)
    else:
        yield at
