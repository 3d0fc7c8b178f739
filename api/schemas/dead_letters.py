"""Dead letters as they are shown."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.numbers import shown, shown_execution_id
from api.paging import Listed
from db import dead_letters as db
from domain.sealing import Numbered


class DeathCause(BaseModel):
    """The error of the last try."""

    code: str
    detail: str


class DeadLetter(BaseModel):
    """An execution whose tries were used up, until somebody has it retried in any way."""

    id: int
    job_id: str
    execution_id: str
    model_id: str
    region: str
    question_id: str
    attempts: int = Field(description="All of its tries.")
    error: DeathCause
    died_at: datetime

    @classmethod
    def of(cls, letter: db.DeadLetter) -> Self:
        """Return the dead letter as it is shown."""
        return cls(
            id=shown(Numbered.DEAD_LETTER, letter.dead_letter_no),
            job_id=letter.job_id,
            execution_id=shown_execution_id(letter.execution_id),
            model_id=letter.model_id,
            region=letter.region,
            question_id=letter.question_id,
            attempts=letter.attempts,
            error=DeathCause(code=letter.error_code, detail=letter.error_detail),
            died_at=letter.died_at,
        )


class DeadLetterList(Listed[DeadLetter]):
    """Open dead letters, newest first."""
