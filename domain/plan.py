"""Cut a spec into batches: cells of one provider and region, small enough to be leased as one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from domain.spec import JobSpec

READY_WINDOW = 8
"""Batches of one job, provider and region that may be ready or running at once; each end releases one more."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool that serves a model's provider name, and how many cells make a batch of about a second or less."""

    provider: str
    batch_cells: int


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring cells of one model in one region: its questions from `first_question_no` to `last_question_no`."""

    model_no: int
    first_question_no: int
    last_question_no: int


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """A batch of a plan. Its end releases batch `next_batch_no`; a batch that `is_first` is ready at once."""

    batch_no: int
    next_batch_no: int | None
    is_first: bool
    provider: str
    region: str
    region_no: int
    cells: int
    runs: tuple[Run, ...]

    @property
    def pool(self) -> tuple[str, str]:
        """Its provider and region."""
        return self.provider, self.region

    def cell_nos(self) -> Iterator[tuple[int, int]]:
        """Yield (model_no, question_no) of each cell, in plan order."""
        for run in self.runs:
            for question_no in range(run.first_question_no, run.last_question_no + 1):
                yield run.model_no, question_no


def plan(spec: JobSpec, pool_of: Callable[[str], Pool]) -> tuple[PlannedBatch, ...]:
    """Return the batches of a job, numbered from 1, that together hold each planned cell once.

    Plan order is region, model, question; a batch is one range of it. `pool_of` maps a model's provider name to the
    pool that serves it.
    """
    batches: list[PlannedBatch] = []
    for (pool, region_no), model_nos in _models_by_pool(spec, pool_of).items():
        batches += _batches_of_pool(
            pool,
            region_no=region_no,
            region=spec.regions[region_no],
            model_nos=model_nos,
            questions=len(spec.questions),
            first_batch_no=len(batches) + 1,
        )
    return tuple(batches)


def _models_by_pool(spec: JobSpec, pool_of: Callable[[str], Pool]) -> dict[tuple[Pool, int], list[int]]:
    models: dict[tuple[Pool, int], list[int]] = {}
    for region_no, model_no in sorted((region_no, model_no) for model_no, region_no in spec.cells.pairs):
        models.setdefault((pool_of(spec.models[model_no].provider), region_no), []).append(model_no)
    return models


def _batches_of_pool(
    pool: Pool, *, region_no: int, region: str, model_nos: Sequence[int], questions: int, first_batch_no: int
) -> Iterator[PlannedBatch]:
    cells = len(model_nos) * questions
    count = -(-cells // pool.batch_cells)
    for index in range(count):
        start, end = index * cells // count, (index + 1) * cells // count
        yield PlannedBatch(
            batch_no=first_batch_no + index,
            next_batch_no=first_batch_no + index + READY_WINDOW if index + READY_WINDOW < count else None,
            is_first=index < READY_WINDOW,
            provider=pool.provider,
            region=region,
            region_no=region_no,
            cells=end - start,
            runs=tuple(_runs(model_nos, questions, start, end)),
        )


def _runs(model_nos: Sequence[int], questions: int, start: int, end: int) -> Iterator[Run]:
    for index in range(start // questions, (end - 1) // questions + 1):
        offset = index * questions
        yield Run(model_nos[index], max(start - offset, 0), min(end - offset, questions) - 1)
