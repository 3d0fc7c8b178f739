"""The interface of kinds in the API: how each is submitted, shown and acted on; other modules loop over the kinds.

A kind stands in a module of its own (`inference_kind.py`, `import_kind.py`); `app.py` chooses which are served.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel

from db.engine import Engine
from db.jobs import JobRead
from db.kinds import StoredKind
from domain.kinds import SpecKind
from domain.registry import Registry
from sources.configured import ConfiguredSources
from submissions.submission import Submission

CountPlan: TypeAlias = Callable[[Submission], Awaitable[Mapping[str, Any]]]
"""Returns the `planned` member of a dry run's answer."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind as the API serves it.

    `body_schema` and `body_examples` describe the body of a POST, `show` returns a job of the kind with all its parts.
    `open_preview` makes the counter of dry runs; None if normalizing a spec counts already.
    """

    spec: SpecKind
    stored: StoredKind
    body_schema: Mapping[str, Any]
    body_examples: Mapping[str, Any]
    show: Callable[[Engine, JobRead, Registry], Awaitable[BaseModel]]
    open_preview: Callable[[ConfiguredSources], CountPlan] | None = None

    @property
    def name(self) -> str:
        """Its name in specs, answers and the database."""
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds that an API serves; the first is the kind of a body without `kind`."""

    served: Sequence[JobKind]

    def find(self, name: str) -> JobKind | None:
        """Return the kind of this name; None for a kind of another release."""
        return next((kind for kind in self.served if kind.name == name), None)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [kind.name for kind in self.served]

    @property
    def specs(self) -> Mapping[str, SpecKind]:
        """Each as the domain knows it."""
        return {kind.name: kind.spec for kind in self.served}

    @property
    def stored(self) -> Mapping[str, StoredKind]:
        """Each as the database knows it."""
        return {kind.name: kind.stored for kind in self.served}

    def open_previews(self, sources: ConfiguredSources) -> Mapping[str, CountPlan]:
        """Return the counters of dry runs by kind."""
        return {kind.name: kind.open_preview(sources) for kind in self.served if kind.open_preview is not None}
