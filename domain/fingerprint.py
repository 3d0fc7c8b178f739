"""Tell whether two specs or two bodies are the same: canonical JSON, its hashes, and where two values differ.

Canonical JSON here: keys in code point order, text in NFC, no white space, and one spelling for each number, so that
300, 300.0 and 3e2 are equal while 1, true and "1" are three values. A change of anything here needs a new prefix, since
stored hashes would no longer match; golden vectors in the tests hold it still.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any
from unicodedata import normalize as normalize_unicode

from domain.notes import point
from domain.spec import JobSpec

MAX_DIFFERENCES = 20
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def spec_hash(spec: JobSpec) -> str:
    """Return `h1:` and 64 hex digits over what makes two specs the same work.

    Counted are kind, name, models with their regions, questions, parameters and policy; the order of models, regions
    and questions is not. Not counted: id, on_duplicate, metadata, extensions and regions that no model runs in.
    """
    return "h1:" + _sha256(canonical_json(_identity(spec)))


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


def _identity(spec: JobSpec) -> dict[str, object]:
    policy = spec.policy
    return {
        "kind": spec.kind.value,
        "name": spec.name,
        "models": [
            {"id": model.id, "name": model.name, "provider": model.provider, "regions": sorted(model.regions)}
            for model in sorted(spec.models, key=lambda model: model.id)
        ],
        "questions": sorted([question.id, question.text] for question in spec.questions),
        "parameters": spec.parameters,
        "policy": {
            "max_concurrent": policy.max_concurrent,
            "timeout_seconds": policy.timeout_seconds,
            "queue_timeout_seconds": policy.queue_timeout_seconds,
            "max_attempts": policy.max_attempts,
            "min_success_rate": policy.min_success_rate,
            "delivery": policy.delivery.value,
            "on_paused": policy.on_paused.value,
        },
    }


def _canonical(value: Any) -> Any:
    """Return the value with its texts composed and its whole floats as integers."""
    if isinstance(value, str):
        return value if value.isascii() else normalize_unicode("NFC", value)
    if isinstance(value, Mapping):
        return _canonical_object(value)
    if isinstance(value, list | tuple):
        return [_canonical(member) for member in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


def _canonical_object(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with composed keys, unless two of them would become one."""
    composed = {
        name if name.isascii() else normalize_unicode("NFC", name): _canonical(member)
        for name, member in members.items()
    }
    if len(composed) == len(members):
        return composed
    return {name: _canonical(member) for name, member in members.items()}


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
