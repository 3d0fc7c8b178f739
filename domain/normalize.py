"""Turn a submitted body of any kind into the spec that will run, or report every error in it.

A body that can't be stored is refused first, then an unknown kind; the kind's own module does the rest.
"""

from collections.abc import Mapping
from typing import Any

from domain import import_reading, inference_reading
from domain.errors import FieldError, SpecRejected
from domain.kinds import Normalized, Spec, SpecKind
from domain.registry import Registry
from domain.wellformed import refuse_unstorable

KINDS: Mapping[str, SpecKind] = {kind.name: kind for kind in (inference_reading.KIND, import_reading.KIND)}
"""The kinds of this release by name. The first is the kind of a body without `kind`."""


def normalize(body: object, registry: Registry, kinds: Mapping[str, SpecKind] = KINDS) -> Normalized[Any]:
    """Return the normalized spec of a submitted body of any kind and accepted layout.

    Normalizing the JSON of a normalized spec changes nothing. Raises `SpecRejected` with every error found; values that
    can't be stored (`domain.wellformed`) and an unknown kind are reported alone. A spec whose only fault is that
    something is paused is returned with its `refusal`.
    """
    refuse_unstorable(body)
    if not isinstance(body, dict):
        raise SpecRejected([FieldError("", "body_not_object", "Send a JSON object: the spec of a job.")])
    normalized: Normalized[Spec] = _read_kind(body, kinds).normalize(body, registry)
    return normalized


def _read_kind(body: Mapping[str, Any], kinds: Mapping[str, SpecKind]) -> SpecKind:
    """Return the kind of a body; the first kind unless given."""
    is_envelope = isinstance(body.get("jobspec"), dict)
    given = body["jobspec"].get("kind") if is_envelope else body.get("kind")
    if given is None:
        _refuse_members_of_others(body, kinds)
        return next(iter(kinds.values()))
    kind = kinds.get(given) if isinstance(given, str) else None
    if kind is None:
        raise SpecRejected([_unknown_kind("/jobspec/kind" if is_envelope else "/kind", kinds)])
    if is_envelope and kind.no_envelope is not None:
        raise SpecRejected([FieldError("/jobspec", "misplaced_field", kind.no_envelope, {"move_to": ""})])
    return kind


def _unknown_kind(at: str, kinds: Mapping[str, SpecKind]) -> FieldError:
    detail = f"Send `kind` as {' or '.join(f'`{name}`' for name in kinds)}."
    return FieldError(at, "unknown_choice", detail, {"allowed": list(kinds)})


def _refuse_members_of_others(body: Mapping[str, Any], kinds: Mapping[str, SpecKind]) -> None:
    for kind in kinds.values():
        for name, detail in kind.own_members.items():
            if body.get(name) is not None:
                raise SpecRejected([FieldError(f"/{name}", "misplaced_field", detail)])
