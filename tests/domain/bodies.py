"""Bodies and readings for the tests of the domain: a small correct spec per layout, and what reading one gives."""

import json
from pathlib import Path

from domain.errors import FieldError, SpecRejected
from domain.normalize import Normalized, normalize
from domain.notes import Note
from domain.regions import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from domain.spec import JobSpec

REGISTRY = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS)
SPECS = Path(__file__).parents[1] / "specs"


def plain(**changes: object) -> dict[str, object]:
    return {"models": ["llama3.2-1b"], "regions": ["us-east"], "questions": ["What is 2+2?"], **changes}


def benchmark(**changes: object) -> dict[str, object]:
    return {
        "benchmark": {"name": "capitals"},
        "constraints": {"regions": ["us-east"]},
        "models": ["llama3.2-1b"],
        "questions": ["What is 2+2?"],
        **changes,
    }


def submitted(number: str) -> dict[str, object]:
    (path,) = SPECS.glob(f"{number}-*.json")
    body: dict[str, object] = json.loads(path.read_text())
    return body


def read(body: object, registry: Registry = REGISTRY) -> Normalized:
    return normalize(body, registry)


def again(spec: JobSpec, registry: Registry = REGISTRY) -> Normalized:
    return normalize(json.loads(json.dumps(spec.to_json())), registry)


def errors_of(body: object, registry: Registry = REGISTRY) -> list[FieldError]:
    """Everything that keeps the body from becoming a new job."""
    try:
        return list(normalize(body, registry).pauses)
    except SpecRejected as rejected:
        return list(rejected.errors)


def refusals(body: object, registry: Registry = REGISTRY) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in errors_of(body, registry)]


def notes_of(body: object, action: str, registry: Registry = REGISTRY) -> list[dict[str, object]]:
    notes: tuple[Note, ...] = normalize(body, registry).notes
    return [note.to_json() for note in notes if note.action == action]
