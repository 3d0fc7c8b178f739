"""What a kind of job is in the domain: how a submitted body becomes its spec, and what such a spec asks for.

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
        """What the client calls the job."""

    @property
    def on_duplicate(self) -> OnDuplicate:
        """What to do when the same spec is active or recent."""

    @property
    def cells(self) -> CellPlan | None:
        """The cells that it plans; None where only coordination finds out what there is to do."""

    def to_json(self) -> dict[str, Any]:
        """Return the spec as the API shows it and as the database keeps it."""


class PlannedCounts(Protocol):
    """How much a spec plans."""

    def to_json(self) -> Mapping[str, int | None]:
        """Return the `planned` member of an answer."""

    def to_log(self) -> Mapping[str, int]:
        """Return the fields of the log line about the new job."""


SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)


@dataclass(frozen=True, slots=True)
class Normalized(Generic[SpecT_co]):
    """A spec as it will run, with what was understood differently from how it was written.

    `wanted` are the identities that may answer it, each once. `pauses` are the reasons against making a new job of it
    now; what was made before is still joined and answered.
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

    `own_members` are those that no other kind has, each with what to say where it stands in a body that names no kind.
    `no_envelope` says why a body of this kind isn't taken inside `jobspec`; None where it is. `parts` are what belongs
    to its jobs beyond what belongs to all (executions, waves and so on), as their paths name it.
    """

    name: str
    normalize: Callable[[Mapping[str, Any], Registry], Normalized[Spec]]
    own_members: Mapping[str, str] = field(default_factory=dict)
    no_envelope: str | None = None
    parts: tuple[str, ...] = ()
