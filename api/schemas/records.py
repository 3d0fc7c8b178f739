"""Imported and rejected rows as they are shown."""

from datetime import datetime
from typing import Any, Self

import orjson
from pydantic import BaseModel, Field

from api.paging import Listed
from db.records import RecordRead
from db.rejects import RejectRead


class Record(BaseModel):
    """A row as it was imported last."""

    record_key: str = Field(description="Its key as text; of several columns, a JSON list of their values.")
    payload: Any
    updated_at: datetime = Field(description="When it last changed: a row that is as it was isn't rewritten.")
    job_id: str | None = Field(description="The job that wrote it last.")
    batch_id: str
    generation: int = Field(
        description="Of the newest import that wrote it, or found it as it is while an older one was still at work. No"
        " import with a lower one writes it any more; 0 from before imports were numbered."
    )

    @classmethod
    def of(cls, record: RecordRead) -> Self:
        """Return the row as it is shown."""
        return cls(
            record_key=record.record_key,
            payload=orjson.loads(record.payload),
            updated_at=record.updated_at,
            job_id=record.job_id,
            batch_id=str(record.batch_no),
            generation=record.generation,
        )


class RecordList(Listed[Record]):
    """Rows of a record type, by key."""


class Reject(BaseModel):
    """A row that could not be taken."""

    batch_id: str
    record_type: str
    position: int = Field(description="Of the row in its source, from 0.")
    record_key: str | None = Field(description="Null where the row has none.")
    code: str
    detail: str

    @classmethod
    def of(cls, reject: RejectRead) -> Self:
        """Return the reject as it is shown."""
        return cls(
            batch_id=str(reject.batch_no),
            record_type=reject.record_type,
            position=reject.position,
            record_key=reject.record_key,
            code=reject.code,
            detail=reject.detail,
        )


class RejectList(Listed[Reject]):
    """The rejected rows of an import, by batch and position."""
