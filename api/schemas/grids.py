"""The grid of a job as it is shown: models × regions × questions, a letter or a count for each cell."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from api.paging import Listed
from db.grids import Grid as GridRead
from db.grids import GridRow as GridRowRead
from db.reading import Slice

GridState = Literal["pending", "running", "completed", "incomplete", "failed", "cancelled", "unknown"]
LETTER_BY_STATE: dict[GridState, str] = {
    "pending": "p",
    "running": "r",
    "completed": "c",
    "incomplete": "i",
    "failed": "f",
    "cancelled": "x",
    "unknown": "u",
}
"""The letters of `db/statements/read_grid.sql`."""
LETTERS_IN_WORDS = ", ".join(f"`{letter}` {state}" for state, letter in LETTER_BY_STATE.items())


class GridCounts(BaseModel):
    """Cells by state. Other than in a job's progress, `completed` leaves out those that are `incomplete`."""

    pending: int
    running: int
    completed: int
    incomplete: int = Field(description="Completed, but the answer was cut or filtered, or is a refusal.")
    failed: int
    cancelled: int
    unknown: int

    @classmethod
    def of(cls, letters: str) -> Self:
        """Return the counts of these letters."""
        return cls(**{state: letters.count(letter) for state, letter in LETTER_BY_STATE.items()})


class GridRow(BaseModel):
    """The cells of a model in a region. A further axis of cells will be a further member."""

    model_id: str
    region: str
    counts: GridCounts
    states: str | None = Field(
        description=f"A letter for each of `questions`: {LETTERS_IN_WORDS}. Null where only counts are shown."
    )


class Grid(Listed[GridRow]):
    """A part of a job's cells: a row for each model and region, as the spec lists them."""

    job_id: str
    models: list[str] = Field(description="The ids of all models of the job.")
    regions: list[str] = Field(description="All regions of the job.")
    question_count: int = Field(description="How many questions the job has.")
    first_question: int = Field(description="The place of the first question shown, from 1.")
    last_question: int = Field(description="The place of the last question shown.")
    questions: list[str] | None = Field(description="The ids of the questions shown; null where only counts are.")

    @classmethod
    def of(cls, grid: GridRead, page: Slice[tuple[int, GridRowRead]], *, cursor: str | None, most_single: int) -> Self:
        """Return the rows of a page: letter by letter if they have at most `most_single` cells."""
        shown = len(grid.question_ids)
        is_single = len(page.facts) * shown <= most_single
        return cls(
            job_id=grid.job_id,
            models=list(grid.model_ids),
            regions=list(grid.region_ids),
            question_count=grid.question_count,
            first_question=grid.first_question + 1,
            last_question=grid.first_question + shown,
            questions=list(grid.question_ids) if is_single else None,
            items=[
                GridRow(
                    model_id=row.model_id,
                    region=row.region,
                    counts=GridCounts.of(row.letters),
                    states=row.letters if is_single else None,
                )
                for _, row in page.facts
            ],
            next_cursor=cursor,
        )
