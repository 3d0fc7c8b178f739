"""Turn a submitted import into the spec that will run, or report every error in it.

`normalize.py` decides that a body is an import; values that can't be stored have been refused before.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from domain.fingerprint import import_hash
from domain.identities import of_source
from domain.import_fields import MISPLACED_AT_TOP, TOP_FIELDS, TOP_HOMES
from domain.import_policy import read_import_policy
from domain.import_spec import IMPORT, ImportSpec
from domain.kinds import Normalized, SpecKind
from domain.members import read_job_id, read_metadata, read_on_duplicate
from domain.notes import Action, Findings, Note, Part, cut
from domain.reading import read_label, refuse_misplaced, refuse_unknown
from domain.record_types import read_record_types
from domain.registry import Registry
from domain.scope import Scope
from domain.waves import level_by_id


@dataclass(frozen=True, slots=True)
class PlannedImport:
    """The size of an import's plan. Numbers that only a COUNT gives are None until coordination has counted."""

    record_types: int
    levels: int
    waves: int | None = None
    batches: int | None = None
    rows: int | None = None

    def to_json(self) -> dict[str, int | None]:
        """Return the `planned` member of an answer."""
        return asdict(self)

    def to_log(self) -> dict[str, int]:
        """Return the fields of the log line about the new job."""
        return {"record_types": self.record_types, "levels": self.levels}


def normalize_import(body: Mapping[str, Any], registry: Registry) -> Normalized[ImportSpec]:
    """Return the normalized spec of an import.

    Normalizing the JSON of a normalized spec changes nothing. Raises `SpecRejected` with every error found.
    """
    findings = Findings()
    refuse_misplaced(body, MISPLACED_AT_TOP, "", findings)
    refuse_unknown(body, TOP_FIELDS, "", findings, homes=TOP_HOMES, refused=MISPLACED_AT_TOP.keys())
    parts = {name: Part(body[name], f"/{name}") for name in TOP_FIELDS if body.get(name) is not None}
    name, dataset = _read_names(parts, findings)
    spec = ImportSpec(
        id=read_job_id(parts.get("id"), findings),
        name=name,
        dataset=dataset,
        record_types=read_record_types(parts.get("record_types"), Scope(registry, findings)),
        policy=read_import_policy(parts.get("policy"), findings),
        on_duplicate=read_on_duplicate(parts.get("on_duplicate"), findings),
        metadata=read_metadata(parts.get("metadata"), findings),
    )
    findings.refuse()
    wanted = dict.fromkeys(of_source(record_type.source) for record_type in spec.record_types)
    return Normalized(spec, findings.listed_notes(), import_hash(spec), _plan(spec), wanted=tuple(wanted))


def _plan(spec: ImportSpec) -> PlannedImport:
    levels = level_by_id({record_type.id: record_type.depends_on for record_type in spec.record_types})
    return PlannedImport(record_types=len(spec.record_types), levels=1 + max(levels.values()))


def _read_names(parts: Mapping[str, Part], findings: Findings) -> tuple[str, str]:
    """Return name and dataset; each is the default of the other.

    There is no default for both: imports that name neither would load into each other's rows.
    """
    name = _read_optional_label(parts.get("name"), findings)
    dataset = _read_optional_label(parts.get("dataset"), findings)
    if "name" not in parts and "dataset" not in parts:
        detail = "Give the import a `name`: its rows are kept under it, unless you give a `dataset` too."
        findings.error("/name", "name_missing", detail)
    elif "dataset" not in parts and name is not None:
        findings.notes.append(Note(Action.DEFAULTED, "/dataset", to=cut(name)))
    elif "name" not in parts and dataset is not None:
        findings.notes.append(Note(Action.DEFAULTED, "/name", to=cut(dataset)))
    return name or dataset or "", dataset or name or ""


def _read_optional_label(part: Part | None, findings: Findings) -> str | None:
    return None if part is None else read_label(part, findings)


KIND = SpecKind(
    IMPORT,
    normalize_import,
    own_members={"record_types": "Record types belong to an import: send `kind` as `import`, or take them out."},
    no_envelope="An import has no envelope: send what is in `jobspec` as the body.",
    parts=("rejects",),
)
