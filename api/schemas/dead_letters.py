"""Dead letters as they are shown."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.numbers import shown_execution_id
from api.paging import Listed
from db import dead_letters as db


class DeathCause(BaseModel):
    """The error of the last try."""

    code: str
    detail: str


class DeadLetter(BaseModel):
    """An execution whose tries were used up, until it is retried in any way."""

    id: int
    tenant: str = Field(description="The name of the tenant whose job it is; `default` without authentication.")
    job_id: str
    execution_id: str = Field(description="As its tenant sees it.")
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
            id=letter.dead_letter_no,
            tenant=letter.tenant,
            job_id=letter.job_id,
            execution_id=shown_execution_id(letter.execution_id, tenant_no=letter.tenant_no),
            model_id=letter.model_id,
            region=letter.region,
            question_id=letter.question_id,
            attempts=letter.attempts,
            error=DeathCause(code=letter.error_code, detail=letter.error_detail),
            died_at=letter.died_at,
        )


class DeadLetterList(Listed[DeadLetter]):
    """Open dead letters, newest first."""
