"""The interface of job kinds in the domain: reading a submitted body as a spec, and the size of the spec's plan.

The kinds themselves stand in modules of their own (`inference_reading.py`, `import_reading.py`); none is named here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from domain.errors import FieldError, SpecRejected
from domain.identities import IdentityKey
from domain.notes import Note
from domain.registry import Registry
from domain.spec import CellPlan, OnDuplicate


class Spec(Protocol):
    """A normalized spec of any kind."""

    @property
    def id(self) -> str | None:
        """The client's id."""

    @property
    def kind(self) -> str:
        """The name of its kind."""

    @property
    def name(self) -> str:
        """The job's name, given by the client."""

    @property
    def on_duplicate(self) -> OnDuplicate:
        """The treatment of a spec while an equal one is active or recent."""

    @property
    def cells(self) -> CellPlan | None:
        """The cells that it plans; None if coordination counts the work."""

    def to_json(self) -> dict[str, Any]:
        """Return the spec as the API shows it and as the database keeps it."""


class PlannedCounts(Protocol):
    """The size of a spec's plan."""

    def to_json(self) -> Mapping[str, int | None]:
        """Return the `planned` member of an answer."""

    def to_log(self) -> Mapping[str, int]:
        """Return the fields of the log line about the new job."""


SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)


@dataclass(frozen=True, slots=True)
class Normalized(Generic[SpecT_co]):
    """A spec as it will run, with notes where it differs from the submitted body.

    `wanted` are the identities that may answer it, each once. `pauses` are the reasons against a new job of it now;
    earlier jobs are still joined and answered.
    """

    spec: SpecT_co
    notes: tuple[Note, ...]
    spec_hash: str
    planned: PlannedCounts
    wanted: tuple[IdentityKey, ...]
    pauses: tuple[FieldError, ...] = ()

    @property
    def refusal(self) -> SpecRejected | None:
        """The error for a new job of this spec while something that it names is paused."""
        return SpecRejected(self.pauses) if self.pauses else None


@dataclass(frozen=True, slots=True)
class SpecKind:
    """A kind as the domain knows it. `normalize` reads a body; it raises SpecRejected with every error found.

    `own_members` are those that no other kind has, each with the sentence for a body that has it and names no kind.
    `no_envelope` says why a body of this kind isn't accepted inside `jobspec`; None if it is. `parts` name the parts
    that its jobs have beside those of all jobs (executions, waves and so on), as in their paths.
    """

    name: str
    normalize: Callable[[Mapping[str, Any], Registry], Normalized[Spec]]
    own_members: Mapping[str, str] = field(default_factory=dict)
    no_envelope: str | None = None
    parts: tuple[str, ...] = ()
