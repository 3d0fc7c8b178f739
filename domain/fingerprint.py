"""Tell whether two specs or two bodies are the same: canonical JSON, its hashes, and where two values differ.

Canonical JSON here: keys in code point order, text in NFC, no white space, and one spelling for each number, so that
300, 300.0 and 3e2 are equal while 1, true and "1" are three values. A change of anything here needs a new prefix, since
stored hashes would no longer match; golden vectors in the tests hold it still.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from operator import attrgetter
from typing import Any
from unicodedata import normalize as normalize_unicode

from domain.import_spec import ImportSpec, RecordType
from domain.notes import point
from domain.spec import JobSpec, Model, Policy, Question

MAX_DIFFERENCES = 20
_INTEGER_LIMIT = 2**63
_ID = attrgetter("id")
_quote = json.encoder.encode_basestring
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def spec_hash(spec: JobSpec | ImportSpec) -> str:
    """Return `h1:` and 64 hex digits over what makes two specs the same work.

    Of inference, kind, name, models with their regions, questions, parameters and policy count; the order of models,
    regions and questions does not. Of an import, kind, name, dataset, record types and policy count; the order of
    record types and of what they depend on does not, that of a key's columns does. Never counted: id, on_duplicate,
    metadata, extensions and regions that no model runs in.
    """
    match spec:
        case JobSpec():
            return "h1:" + _sha256(identity_json(spec))
        case ImportSpec():
            return "h1:" + _sha256(import_identity_json(spec))


def body_hash(body: object) -> str:
    """Return `b1:` and 64 hex digits over a submitted body, to compare it under an Idempotency-Key.

    Expects a body that `normalize` took: its depth and numbers are bounded.
    """
    return "b1:" + _sha256(canonical_json(body))


def canonical_json(value: object) -> str:
    """Return the one text of a JSON value."""
    return _encode(_canonical(value))


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity_json(spec: JobSpec) -> str:
    """Return the canonical JSON that `spec_hash` hashes; the texts of a normalized spec are composed already.

    Written out rather than encoded from objects: that takes a third of the time, and each POST does it.
    """
    regions = {regions: _regions_json(regions) for regions in {model.regions for model in spec.models}}
    models = ",".join([_model_json(model, regions[model.regions]) for model in sorted(spec.models, key=_ID)])
    questions = ",".join([_question_json(question) for question in sorted(spec.questions, key=_ID)])
    return (
        f'{{"kind":{_quote(spec.kind.value)},"models":[{models}],"name":{_quote(spec.name)}'
        f',"parameters":{canonical_json(spec.parameters)},"policy":{_policy_json(spec.policy)}'
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
    return canonical_json(policy.to_json())


def import_identity_json(spec: ImportSpec) -> str:
    """Return the canonical JSON that `spec_hash` hashes for an import.

    Texts stay as they are: two paths or columns that differ in their Unicode form only may be two.
    """
    return _encode(
        {
            "dataset": spec.dataset,
            "kind": spec.kind.value,
            "name": spec.name,
            "policy": _canonical(spec.policy.to_json()),
            "record_types": [_record_type_identity(one) for one in sorted(spec.record_types, key=_ID)],
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


def _canonical_object(members: dict[str, Any]) -> dict[str, Any]:
    """Return the object with its keys composed, then ordered; as they came if two of them would become one."""
    composed = {_canonical(name): member for name, member in members.items()}
    if len(composed) < len(members):
        composed = members
    return {name: _canonical(composed[name]) for name in sorted(composed)}


def differences(a: object, b: object, *, limit: int = MAX_DIFFERENCES) -> list[str]:
    """Return pointers to where two JSON values differ, at most `limit`; equal values give none.

    Compared as `body_hash` compares. A pointer ends where one side has no such member or the types differ. Never
    contains a value.
    """
    return list(islice(_differences(_canonical(a), _canonical(b), ""), limit))


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
