"""The normalized inference spec, with every default filled in and every name canonical.

Only shapes and their JSON form live here; `normalize.py` reads a submitted body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

INFERENCE = "inference"
"""The name of this kind."""


class OnDuplicate(StrEnum):
    """The treatment of a spec without an id while a job of the same content is active or recent."""

    JOIN = "join"
    REJECT = "reject"
    CREATE = "create"


class Delivery(StrEnum):
    """Whether a call with an ambiguous end may be repeated."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class OnPaused(StrEnum):
    """Whether a spec that names a paused region or provider is refused or waits."""

    REFUSE = "refuse"
    WAIT = "wait"


class Incomplete(StrEnum):
    """How an answer that was cut, filtered or refused counts: as an answer, a failure, or a try to repeat."""

    KEEP = "keep"
    FAIL = "fail"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Model:
    """One model and the canonical regions it runs in, in submitted order."""

    id: str
    name: str
    provider: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `id` is the client's, the bank's, or derived from the text."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How a job runs. Durations are seconds; `max_concurrent` counts calls in flight (None: the provider's limit)."""

    max_concurrent: int | None = None
    timeout_seconds: float = 300
    queue_timeout_seconds: float | None = None
    max_attempts: int = 3
    min_success_rate: float = 0.67
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    on_paused: OnPaused = OnPaused.REFUSE
    incomplete: Incomplete = Incomplete.KEEP

    def to_json(self) -> dict[str, Any]:
        """Return the policy as the API shows it. Not `asdict`, which copies immutable values and takes 8x as long.

        `incomplete` at its default is absent, as in the specs and hashes of older releases.
        """
        members = {name: getattr(self, name) for name in _POLICY_FIELDS}
        if self.incomplete is Incomplete.KEEP:
            del members["incomplete"]
        return members


_POLICY_FIELDS = tuple(declared.name for declared in fields(Policy))


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The cells of a job as they are stored: each pair (model_no, region_no), counted from 0, with every question.

    `queue_timeout_seconds` is how long they may wait before one begins; None: without limit.
    """

    model_ids: Sequence[str]
    region_ids: Sequence[str]
    question_ids: Sequence[str]
    pairs: Sequence[tuple[int, int]]
    min_success_rate: float
    queue_timeout_seconds: float | None = None

    @property
    def planned(self) -> int:
        """How many cells there are."""
        return len(self.pairs) * len(self.question_ids)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A normalized inference spec. `regions` lists every region of the job, in submitted order and canonical."""

    id: str | None
    name: str
    models: tuple[Model, ...]
    regions: tuple[str, ...]
    questions: tuple[Question, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    on_duplicate: OnDuplicate = OnDuplicate.JOIN
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    kind: str = INFERENCE

    @property
    def planned(self) -> int:
        """The number of cells: one per model, region of that model and question."""
        return sum(len(model.regions) for model in self.models) * len(self.questions)

    @property
    def cells(self) -> CellPlan:
        """The cells that it plans, numbered in the spec's order."""
        region_no_by_name = {region: region_no for region_no, region in enumerate(self.regions)}
        return CellPlan(
            model_ids=[model.id for model in self.models],
            region_ids=self.regions,
            question_ids=[question.id for question in self.questions],
            pairs=[
                (model_no, region_no_by_name[region])
                for model_no, model in enumerate(self.models)
                for region in model.regions
            ],
            min_success_rate=self.policy.min_success_rate,
            queue_timeout_seconds=self.policy.queue_timeout_seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the spec as the API shows it and as the database keeps it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "models": [
                {"id": model.id, "name": model.name, "provider": model.provider, "regions": list(model.regions)}
                for model in self.models
            ],
            "regions": list(self.regions),
            "questions": [{"id": question.id, "text": question.text} for question in self.questions],
            "parameters": dict(self.parameters),
            "policy": self.policy.to_json(),
            "on_duplicate": self.on_duplicate,
            "metadata": dict(self.metadata),
            "extensions": dict(self.extensions),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a stored spec from the result of `to_json`; nothing is checked again."""
        policy = stored["policy"]
        return cls(
            id=stored["id"],
            name=stored["name"],
            models=tuple(
                Model(id=model["id"], name=model["name"], provider=model["provider"], regions=tuple(model["regions"]))
                for model in stored["models"]
            ),
            regions=tuple(stored["regions"]),
            questions=tuple(Question(id=question["id"], text=question["text"]) for question in stored["questions"]),
            parameters=stored["parameters"],
            policy=Policy(
                **{
                    **policy,
                    "delivery": Delivery(policy["delivery"]),
                    "on_paused": OnPaused(policy["on_paused"]),
                    "incomplete": Incomplete(policy.get("incomplete", Incomplete.KEEP)),
                }
            ),
            on_duplicate=OnDuplicate(stored["on_duplicate"]),
            metadata=stored["metadata"],
            extensions=stored["extensions"],
            kind=stored["kind"],
        )
