"""The normalized import spec: its record types, their sources and order, and the dataset.

Only shapes and their JSON form live here; `import_reading.py` reads a submitted body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from domain.sources.registry import source_from_json
from domain.sources.source import Source
from domain.spec import OnDuplicate

IMPORT = "import"
"""The name of this kind."""


@dataclass(frozen=True, slots=True)
class RecordType:
    """One kind of rows: the columns of its key, its source, and the record types that are loaded before it."""

    id: str
    key: tuple[str, ...]
    source: Source
    depends_on: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record type as the API shows it."""
        return {
            "id": self.id,
            "key": list(self.key),
            "source": self.source.to_json(),
            "depends_on": list(self.depends_on),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a record type from the result of `to_json`."""
        return cls(
            id=stored["id"],
            key=tuple(stored["key"]),
            source=source_from_json(stored["source"]),
            depends_on=tuple(stored["depends_on"]),
        )


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """How an import runs.

    `batch_size` counts rows, `max_concurrent` the job's batches at work over all workers, `count_timeout_seconds`
    bounds the COUNT of one record type, `max_rejects` the rows of one batch that may be refused before it fails,
    `max_attempts` the tries of one batch.
    """

    batch_size: int = 500
    batches_per_wave: int = 300
    max_concurrent: int = 10
    count_timeout_seconds: float = 300
    max_rejects: int = 0
    max_attempts: int = 3

    def to_json(self) -> dict[str, Any]:
        """Return the policy as the API shows it."""
        return {name: getattr(self, name) for name in _POLICY_FIELDS}


_POLICY_FIELDS = tuple(declared.name for declared in fields(ImportPolicy))


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """A normalized import spec. Its record types have distinct ids, in submitted order, and depend on no cycle.

    Rows are unique by (tenant, dataset, record type, key), so two jobs with one `dataset` load into the same rows.
    """

    id: str | None
    name: str
    dataset: str
    record_types: tuple[RecordType, ...]
    policy: ImportPolicy = field(default_factory=ImportPolicy)
    on_duplicate: OnDuplicate = OnDuplicate.JOIN
    metadata: Mapping[str, Any] = field(default_factory=dict)
    kind: str = IMPORT

    @property
    def cells(self) -> None:
        """None: coordination counts the rows."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the spec as the API shows it and as the database keeps it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "dataset": self.dataset,
            "record_types": [record_type.to_json() for record_type in self.record_types],
            "policy": self.policy.to_json(),
            "on_duplicate": self.on_duplicate,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a stored spec from the result of `to_json`; nothing is checked again."""
        return cls(
            id=stored["id"],
            name=stored["name"],
            dataset=stored["dataset"],
            record_types=tuple(RecordType.from_json(record_type) for record_type in stored["record_types"]),
            policy=ImportPolicy(**stored["policy"]),
            on_duplicate=OnDuplicate(stored["on_duplicate"]),
            metadata=stored["metadata"],
            kind=stored["kind"],
        )
