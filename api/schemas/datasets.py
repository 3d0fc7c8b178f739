"""Datasets as they are shown."""

from datetime import datetime
from typing import Self
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field

from api.paging import Listed
from db.datasets import DatasetRead, DatasetTypeRead
from domain.status import JobStatus


class LastImport(BaseModel):
    """The import that was planned last to load a record type."""

    job_id: str
    status: JobStatus
    planned_at: datetime | None
    finished_at: datetime | None


class DatasetType(BaseModel):
    """A record type of a dataset."""

    id: str
    last_import: LastImport | None = Field(description="Null once that job is deleted.")
    records: str = Field(description="Where its rows are: by pages, or as a file.")

    @classmethod
    def of(cls, dataset: str, one: DatasetTypeRead) -> Self:
        """Return the record type as it is shown."""
        last = None
        if one.job_id is not None and one.status is not None:
            last = LastImport(
                job_id=one.job_id,
                status=JobStatus(one.status),
                planned_at=one.planned_at,
                finished_at=one.finished_at,
            )
        at = f"/datasets/{quote(dataset, safe='')}/records?{urlencode({'record_type': one.record_type})}"
        return cls(id=one.record_type, last_import=last, records=at)


class Dataset(BaseModel):
    """What imports of one `dataset` load into."""

    name: str
    record_types: list[DatasetType]

    @classmethod
    def of(cls, dataset: DatasetRead) -> Self:
        """Return the dataset as it is shown."""
        return cls(name=dataset.name, record_types=[DatasetType.of(dataset.name, one) for one in dataset.record_types])


class DatasetList(Listed[Dataset]):
    """Datasets, by name."""
