"""Bodies and readings for the tests of the domain: a small correct spec per layout, and the results of reading them."""

import json
from pathlib import Path

from domain.errors import FieldError, SpecRejected
from domain.import_spec import ImportSpec
from domain.kinds import Normalized
from domain.normalize import normalize
from domain.notes import Note
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Connection, Registry
from domain.sources.sql import SqlSource
from domain.sources.suiteql import SuiteqlSource
from domain.spec import JobSpec
from domain.table_names import TableName

TABLES = frozenset(
    table
    for name in (
        *("public.transaction", "public.a", "public._x", "public.T1", f"public.{'a' * 63}", f"{'a' * 63}.{'b' * 63}"),
        *('public."a.b"', 'a."b"', '"S x"."T"""'),
    )
    if (table := TableName.parse(name))
)
REGISTRY = Registry(
    DEFAULT_REGIONS,
    DEFAULT_QUESTIONS,
    connections={
        "erp": Connection(SqlSource.type_name, tables=TABLES),
        "erp_archive": Connection(SqlSource.type_name),
        "netsuite": Connection(SuiteqlSource.type_name, frozenset({"transaction", "transactionline"})),
    },
    has_import_root=True,
)
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


def file_type(type_id: str, *depends_on: str, **changes: object) -> dict[str, object]:
    source = {"type": "file", "path": f"{type_id}.csv"}
    return {"id": type_id, "key": ["id"], "source": source, "depends_on": list(depends_on), **changes}


def importing(*record_types: object, **changes: object) -> dict[str, object]:
    return {
        "kind": "import",
        "name": "ledger",
        "record_types": list(record_types or [file_type("customer")]),
        **changes,
    }


def submitted(number: str) -> dict[str, object]:
    (path,) = SPECS.glob(f"{number}-*.json")
    body: dict[str, object] = json.loads(path.read_text())
    return body


def read(body: object, registry: Registry = REGISTRY) -> Normalized:
    return normalize(body, registry)


def again(spec: JobSpec | ImportSpec, registry: Registry = REGISTRY) -> Normalized:
    return normalize(json.loads(json.dumps(spec.to_json())), registry)


def errors_of(body: object, registry: Registry = REGISTRY) -> list[FieldError]:
    """Everything that keeps the body from becoming a new job."""
    try:
        refusal = normalize(body, registry).refusal
        return list(refusal.errors) if refusal else []
    except SpecRejected as rejected:
        return list(rejected.errors)


def refusals(body: object, registry: Registry = REGISTRY) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in errors_of(body, registry)]


def notes_of(body: object, action: str, registry: Registry = REGISTRY) -> list[dict[str, object]]:
    notes: tuple[Note, ...] = normalize(body, registry).notes
    return [note.to_json() for note in notes if note.action == action]
