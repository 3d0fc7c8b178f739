"""Read the models of a submitted body: strings or objects, each with its provider and regions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.notes import Action, Findings, Note, Part, cut, nearest, point
from domain.reading import read_label, read_list, read_member_label, refuse_unknown
from domain.redaction import redacted
from domain.regions import read_regions
from domain.registry import ECHO
from domain.scope import Scope
from domain.spec import Model

MODEL_FIELDS = frozenset({"id", "name", "provider", "regions"})
_HOMES = {"model": "/id", "model_id": "/id", "region": "/regions", "providers": "/provider"}


@dataclass(frozen=True, slots=True)
class JobRegions:
    """The regions that the job names for its models.

    `names` is None if the job names none, and empty if they were refused: then models add no errors. `at` points to
    their place, present or not.
    """

    names: tuple[str, ...] | None
    at: str
    as_list: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "as_list", list(self.names or ()))


@dataclass(slots=True)
class ModelReading:
    """The models read so far. `unused_fields` are known and have no effect; `unused` collects their values."""

    scope: Scope
    job_regions: JobRegions
    unused_fields: frozenset[str] = frozenset()
    unused: dict[str, dict[str, Any]] = field(default_factory=dict)
    without_provider: int = 0
    without_regions: int = 0
    findings: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.findings = self.scope.findings


def read_models(part: Part, reading: ModelReading) -> tuple[Model, ...]:
    """Return the models in their order, without duplicates; two models with one id that differ are an error."""
    kept_by_id: dict[str, tuple[Model, int]] = {}
    for index, value in enumerate(read_list(part, "models", reading.findings) or ()):
        model = _read_model(value, f"{part.at}/{index}", reading)
        if model is None:
            continue
        kept, kept_index = kept_by_id.setdefault(model.id, (model, index))
        if kept_index != index:
            _drop_duplicate(model, kept, f"{part.at}/{index}", f"{part.at}/{kept_index}", reading.findings)
    _finish(part.at, reading)
    return tuple([model for model, _ in kept_by_id.values()])


def read_single_model(part: Part, reading: ModelReading) -> tuple[Model, ...]:
    """Return the one model that `metadata.model` names."""
    model = _read_model(part.value, part.at, reading)
    _finish(part.at, reading)
    return () if model is None else (model,)


def _drop_duplicate(duplicate: Model, kept: Model, at: str, kept_at: str, findings: Findings) -> None:
    differing = [
        name
        for name, differs in (
            ("name", duplicate.name != kept.name),
            ("provider", duplicate.provider != kept.provider),
            ("regions", set(duplicate.regions) != set(kept.regions)),
        )
        if differs
    ]
    if not differing:
        findings.notes.append(Note(Action.DROPPED_DUPLICATE, at, value=cut(duplicate.id), kept=kept_at))
        return
    detail = f"Model `{cut(duplicate.id)}` differs in {' and '.join(differing)} from {kept_at}; give one of them only."
    findings.error(at, "conflicting_model", detail, conflicts_with=kept_at, differing=differing)


def _finish(at: str, reading: ModelReading) -> None:
    """Add a single error or note for all models without a provider or without regions."""
    if reading.without_provider:
        detail = f"{reading.without_provider} without a `provider`."
        reading.findings.notes.append(
            Note(Action.DEFAULTED, at, to=reading.scope.registry.default_provider, detail=detail)
        )
    if reading.without_regions:
        refuse_missing_regions(reading)


def refuse_missing_regions(reading: ModelReading) -> None:
    """Add the error for a job without regions."""
    detail = "Name `regions` on the job or on every model; there is no default region."
    allowed = reading.scope.registry.allowed_regions
    reading.findings.error(reading.job_regions.at, "regions_missing", detail, allowed=allowed)


def _read_model(value: object, at: str, reading: ModelReading) -> Model | None:
    if isinstance(value, str):
        return _read_string(value, at, reading)
    if isinstance(value, dict):
        return _read_object(value, at, reading)
    reading.findings.wrong_type(at, "a model id, or an object with `id`")
    return None


def _read_string(value: str, at: str, reading: ModelReading) -> Model | None:
    model_id = read_label(Part(value, at), reading.findings)
    provider = _default_provider(at, reading)
    regions = _job_regions(reading)
    if model_id is None or provider is None:
        return None
    _refuse_unserved(provider, regions, at, reading.scope)
    return Model(model_id, model_id, provider, regions)


def _read_object(members: dict[str, Any], at: str, reading: ModelReading) -> Model | None:
    known = MODEL_FIELDS | reading.unused_fields if reading.unused_fields else MODEL_FIELDS
    refuse_unknown(members, known, at, reading.findings, homes=_HOMES, root=at)
    model_id = _read_model_id(members, at, reading.findings)
    is_named = members.get("name") is not None
    name = read_member_label(members, "name", at, reading.findings) if is_named else model_id
    provider = _read_provider(members, at, reading)
    regions = _read_model_regions(members, at, reading)
    if model_id is None or name is None or provider is None:
        return None
    _refuse_unserved(provider, regions, at if members.get("regions") is None else f"{at}/regions", reading.scope)
    if reading.unused_fields:
        _keep_unused(model_id, members, at, reading)
    return Model(model_id, name, provider, regions)


def _read_model_id(members: Mapping[str, Any], at: str, findings: Findings) -> str | None:
    if members.get("id") is not None:
        return read_member_label(members, "id", at, findings)
    findings.error(at, "empty", "Give the model's `id`.")
    return None


def _read_provider(members: Mapping[str, Any], at: str, reading: ModelReading) -> str | None:
    if members.get("provider") is None:
        return _default_provider(at, reading)
    provider = read_member_label(members, "provider", at, reading.findings)
    return None if provider is None else _known_provider(provider, f"{at}/provider", reading.scope)


def _default_provider(at: str, reading: ModelReading) -> str | None:
    reading.without_provider += 1
    return _known_provider(reading.scope.registry.default_provider, at, reading.scope)


def _known_provider(provider: str, at: str, scope: Scope) -> str | None:
    if not scope.is_known_provider(provider):
        _refuse_unknown_provider(provider, scope.registry.providers or frozenset(), at, scope.findings)
        return None
    scope.refuse_paused_provider(provider, at)
    _note_simulated(provider, at, scope)
    return provider


def _note_simulated(provider: str, at: str, scope: Scope) -> None:
    """Add a note that `echo` stands in for this provider."""
    if scope.registry.serving(provider) in scope.registry.simulated_providers:
        detail = "The built-in echo answers with the question; no provider is asked."
        scope.findings.notes.append(Note(Action.SIMULATED, at, value=cut(provider), to=ECHO, detail=detail))


def _refuse_unknown_provider(provider: str, known: frozenset[str], at: str, findings: Findings) -> None:
    if not known:
        detail = "No provider is configured: apply a configuration with a table [providers.NAME], or simulate."
        findings.error(at, "provider_not_configured", detail, allowed=[])
        return
    allowed = sorted(known)
    detail = f"There is no provider `{cut(provider)}`; give one of {', '.join(allowed)}."
    guess = nearest(provider, allowed)
    findings.error(at, "unknown_provider", detail, allowed=allowed, **({"nearest": guess} if guess else {}))


def _refuse_unserved(provider: str, regions: tuple[str, ...], at: str, scope: Scope) -> None:
    """Add an error for regions in which the provider has no address."""
    unserved = scope.registry.unserved(provider, regions)
    if unserved:
        allowed = list(scope.registry.regions_by_provider[provider])
        detail = f"Provider {cut(provider)} doesn't serve {', '.join(unserved)}; it serves {', '.join(allowed)}."
        scope.findings.error(
            at, "region_not_served", detail, provider=cut(provider), unserved=unserved, allowed=allowed
        )


def _job_regions(reading: ModelReading) -> tuple[str, ...]:
    if reading.job_regions.names is None:
        reading.without_regions += 1
    return reading.job_regions.names or ()


def _read_model_regions(members: Mapping[str, Any], at: str, reading: ModelReading) -> tuple[str, ...]:
    given = members.get("regions")
    if given is None:
        return _job_regions(reading)
    if given == []:
        detail = "Name at least one region, or leave `regions` out to take the job's."
        reading.findings.error(f"{at}/regions", "regions_missing", detail)
        return ()
    if given == reading.job_regions.as_list:
        return reading.job_regions.names or ()
    regions = read_regions(Part(given, f"{at}/regions"), reading.scope)
    if reading.job_regions.names:
        _refuse_outside(regions, f"{at}/regions", reading)
    return regions


def _refuse_outside(regions: tuple[str, ...], at: str, reading: ModelReading) -> None:
    allowed = reading.job_regions.names or ()
    outside = [region for region in regions if region not in allowed]
    if outside:
        detail = f"Add {', '.join(outside)} to {reading.job_regions.at}, or take it out here."
        reading.findings.error(at, "region_outside_job", detail, allowed=list(allowed), outside=outside)


def _keep_unused(model_id: str, members: Mapping[str, Any], at: str, reading: ModelReading) -> None:
    for name, value in members.items():
        if name in reading.unused_fields and value is not None:
            reading.unused.setdefault(model_id, {})[name] = redacted(value)
            to = f"{point('/extensions/models', model_id)}/{name}"
            reading.findings.notes.append(Note(Action.KEPT_UNUSED, f"{at}/{name}", to=to))
