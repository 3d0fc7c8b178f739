"""Turn a submitted inference job into the spec that will run, or report every error in it.

The layout is brought to its plain form, each member is read against the registry, and the plan is counted by
multiplying. All errors of a body are reported at once. `normalize.py` decides that a body is of this kind.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from domain.fingerprint import spec_hash
from domain.identities import IdentityKey, of_provider
from domain.kinds import Normalized, SpecKind
from domain.layouts import Draft, read_draft
from domain.members import read_job_id, read_metadata, read_on_duplicate
from domain.models import JobRegions, ModelReading, read_models, read_single_model, refuse_missing_regions
from domain.notes import Action, Findings, Note, Part, cut
from domain.policy import read_parameters, read_policy
from domain.questions import read_question, read_questions
from domain.reading import clean, read_label
from domain.regions import read_regions
from domain.registry import Registry
from domain.scope import Scope
from domain.spec import INFERENCE, JobSpec, Model, OnPaused, Question

DEFAULT_NAME = "job"
EXPECTATIONS = ("expected_executions", "total_executions_expected")


@dataclass(frozen=True, slots=True)
class Planned:
    """The size of a spec's plan; `executions` counts its cells."""

    models: int
    regions: int
    questions: int
    executions: int

    def to_json(self) -> dict[str, int]:
        """Return the `planned` member of an answer."""
        return asdict(self)

    def to_log(self) -> dict[str, int]:
        """Return the fields of the log line about the new job."""
        return {"total_executions": self.executions}


def normalize_inference(body: Mapping[str, Any], registry: Registry) -> Normalized[JobSpec]:
    """Return the normalized spec of an inference job.

    Normalizing the JSON of a normalized spec changes nothing. Raises `SpecRejected` with every error found.
    """
    findings = Findings()
    draft = read_draft(body, findings)
    policy = read_policy(draft.policy, findings)
    scope = Scope(registry, findings, waits=policy.on_paused is OnPaused.WAIT)
    job_regions = _read_job_regions(draft, scope)
    metadata = read_metadata(draft.parts.get("metadata"), findings)
    models = _read_models(draft, job_regions, scope)
    spec = JobSpec(
        id=read_job_id(draft.parts.get("id"), findings),
        name=_read_name(draft, findings),
        models=models,
        regions=job_regions.names or _union_of_regions(models),
        questions=_read_questions(draft, scope),
        parameters=read_parameters(draft.parts.get("parameters"), findings),
        policy=policy,
        on_duplicate=read_on_duplicate(draft.parts.get("on_duplicate"), findings),
        metadata=metadata,
        extensions=draft.extensions,
    )
    return _finish(spec, draft, scope)


def _finish(spec: JobSpec, draft: Draft, scope: Scope) -> Normalized[JobSpec]:
    """Count the plan, compare it with the body's own statements about it, and return the result."""
    findings = scope.findings
    if not findings.errors:
        _refuse_too_many_cells(spec.planned, scope)
    findings.refuse()
    run_regions = _union_of_regions(spec.models)
    planned = Planned(len(spec.models), len(run_regions), len(spec.questions), spec.planned)
    _note_unused_regions(spec, run_regions, draft, findings)
    _note_wrong_expectations(spec, planned, draft, findings)
    return Normalized(
        spec,
        findings.listed_notes(),
        spec_hash(spec),
        planned,
        wanted=_identities(spec, scope.registry),
        pauses=tuple(findings.pauses),
    )


def _identities(spec: JobSpec, registry: Registry) -> tuple[IdentityKey, ...]:
    """Return the identities that may answer a spec, each once and in the spec's order."""
    distinct = dict.fromkeys([(model.provider, model.regions) for model in spec.models])  # most models share both
    keys = (of_provider(registry.serving(provider), region) for provider, regions in distinct for region in regions)
    return tuple(dict.fromkeys(keys))


def _read_job_regions(draft: Draft, scope: Scope) -> JobRegions:
    part = draft.parts.get("regions")
    if part is None or part.value == []:
        return JobRegions(None, draft.regions_at)
    regions = JobRegions(read_regions(part, scope), part.at)
    if draft.envelope_regions is not None:
        _compare_envelope_regions(draft.envelope_regions, regions, scope)
    return regions


def _compare_envelope_regions(part: Part, regions: JobRegions, scope: Scope) -> None:
    stated = read_regions(part, scope)
    if regions.names and set(stated) != set(regions.names):
        detail = f"Name the same regions here as in {regions.at}."
        scope.findings.error(part.at, "regions_mismatch", detail, conflicts_with=regions.at)


def _union_of_regions(models: tuple[Model, ...]) -> tuple[str, ...]:
    distinct = dict.fromkeys([model.regions for model in models])  # most models share one tuple
    return tuple(dict.fromkeys(chain.from_iterable(distinct)))


def _metadata_part(draft: Draft, name: str) -> Part | None:
    part = draft.parts.get("metadata")
    if part is None or not isinstance(part.value, dict) or part.value.get(name) is None:
        return None
    return Part(part.value[name], f"{part.at}/{name}")


def _read_models(draft: Draft, job_regions: JobRegions, scope: Scope) -> tuple[Model, ...]:
    """Return the models of `models`, else of `metadata.models`, else of `metadata.model`."""
    reading = ModelReading(scope, job_regions, draft.unused_model_fields)
    given, listed = draft.parts.get("models"), _metadata_part(draft, "models")
    single = _metadata_part(draft, "model")
    if given is not None and given.value != []:
        models = read_models(given, reading)
        _note_other_models(models, listed, given.at, scope.findings)
    elif listed is not None and listed.value != []:
        models = read_models(listed, reading)
    elif single is not None:
        models = read_single_model(single, reading)
    else:
        return _refuse_missing_models(draft, reading)
    if reading.unused:
        draft.extensions["models"] = reading.unused
    return models


def _refuse_missing_models(draft: Draft, reading: ModelReading) -> tuple[Model, ...]:
    detail = "Name at least one model; there is no default model."
    reading.findings.error(f"{draft.root}/models", "models_missing", detail)
    if reading.job_regions.names is None:
        refuse_missing_regions(reading)
    return ()


def _note_other_models(models: tuple[Model, ...], listed: Part | None, kept: str, findings: Findings) -> None:
    """Note that `metadata.models` names other models than those that run."""
    if listed is None:
        return
    stated = listed.value if isinstance(listed.value, list) else [None]
    if {_stated_id(item) for item in stated} != {model.id for model in models}:
        detail = f"{kept} names other models and holds."
        findings.notes.append(Note(Action.CONTRADICTED, listed.at, kept=kept, detail=detail))


def _stated_id(item: object) -> str | None:
    stated = item.get("id") if isinstance(item, dict) else item
    return clean(stated) if isinstance(stated, str) else None


def _read_name(draft: Draft, findings: Findings) -> str:
    part = draft.parts.get("name")
    if part is not None:
        return read_label(part, findings) or DEFAULT_NAME
    findings.notes.append(Note(Action.DEFAULTED, f"{draft.root}/name", to=DEFAULT_NAME))
    return DEFAULT_NAME


def _read_questions(draft: Draft, scope: Scope) -> tuple[Question, ...]:
    """Return the questions, else the benchmark's prompt as the only one."""
    given = draft.parts.get("questions")
    if given is not None and given.value != []:
        return read_questions(given, scope)
    if draft.prompt is not None:
        question = read_question(draft.prompt.value, draft.prompt.at, scope)
        scope.findings.notes.append(Note(Action.MOVED, draft.prompt.at, to="/questions/0"))
        return () if question is None else (question,)
    detail = "Ask at least one question: a text, or the id of one of the question bank."
    scope.findings.error(f"{draft.root}/questions", "questions_missing", detail)
    return ()


def _refuse_too_many_cells(cells: int, scope: Scope) -> None:
    limit = scope.registry.max_cells
    if cells > limit:
        detail = f"This plans {cells} executions (models x regions x questions); {limit} are the most of one job."
        scope.findings.error("", "too_many_cells", detail, planned=cells, limit=limit)


def _note_unused_regions(spec: JobSpec, run_regions: tuple[str, ...], draft: Draft, findings: Findings) -> None:
    for region in spec.regions:
        if region not in run_regions:
            detail = "No model runs in this region."
            findings.notes.append(Note(Action.KEPT_UNUSED, draft.parts["regions"].at, value=cut(region), detail=detail))


def _note_wrong_expectations(spec: JobSpec, planned: Planned, draft: Draft, findings: Findings) -> None:
    """Note statements of the metadata that contradict the plan."""
    for name in EXPECTATIONS:
        stated = spec.metadata.get(name)
        if stated is not None and (stated != planned.executions or isinstance(stated, bool)):
            at = f"{draft.parts['metadata'].at}/{name}"
            detail = f"The plan has {planned.executions} executions."
            findings.notes.append(Note(Action.CONTRADICTED, at, to=planned.executions, detail=detail))
    single = _metadata_part(draft, "model")
    if single is not None and _stated_id(single.value) not in {model.id for model in spec.models}:
        findings.notes.append(Note(Action.CONTRADICTED, single.at, detail="No model of the job has this id."))


KIND = SpecKind(INFERENCE, normalize_inference)
