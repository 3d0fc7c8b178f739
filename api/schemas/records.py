"""Imported and rejected rows as they are shown."""

from collections.abc import Sequence
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


class RecordList(Listed[Record]):
    """Rows of a record type, by key."""

    @staticmethod
    def as_json(records: Sequence[RecordRead], next_cursor: str | None) -> bytes:
        """Return the list as JSON; payloads are copied byte by byte, since parsing 2 MiB of them would take a while."""
        items = [
            {
                "record_key": record.record_key,
                "payload": orjson.Fragment(record.payload),
                "updated_at": record.updated_at,
                "job_id": record.job_id,
                "batch_id": str(record.batch_no),
                "generation": record.generation,
            }
            for record in records
        ]
        return orjson.dumps({"items": items, "next_cursor": next_cursor}, option=orjson.OPT_UTC_Z)


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
