"""Datasets as they are shown."""

from datetime import datetime
from typing import Self
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field

from api.paging import Listed
from db.datasets import DatasetImportRead, DatasetRead, DatasetTypeRead
from domain.status import JobStatus


class DatasetImport(BaseModel):
    """An import of a record type."""

    job_id: str
    generation: int
    status: JobStatus
    planned_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, read: DatasetImportRead) -> Self:
        """Return the import as it is shown."""
        return cls(
            job_id=read.job_id,
            generation=read.generation,
            status=JobStatus(read.status),
            planned_at=read.planned_at,
            finished_at=read.finished_at,
        )


class DatasetType(BaseModel):
    """A record type of a dataset."""

    id: str
    generation: int = Field(
        description="The number that the newest import of it got: imports are numbered in the order in which their"
        " sources were pinned. 0 from before they were."
    )
    last_import: DatasetImport | None = Field(
        description="The one with the highest generation of those that completed, wholly or in part; null before one"
        " has, and once that job is deleted."
    )
    newest_import: DatasetImport | None = Field(
        description="The import with the highest generation, in whatever state; null once that job is deleted."
    )
    records: str = Field(description="Where its rows are: by pages, or as a file.")

    @classmethod
    def of(cls, dataset: str, read: DatasetTypeRead) -> Self:
        """Return the record type as it is shown."""
        at = f"/datasets/{quote(dataset, safe='')}/records?{urlencode({'record_type': read.record_type})}"
        return cls(
            id=read.record_type,
            generation=read.generation,
            last_import=DatasetImport.of(read.completed) if read.completed else None,
            newest_import=DatasetImport.of(read.newest) if read.newest else None,
            records=at,
        )


class Dataset(BaseModel):
    """What imports of one `dataset` load into."""

    name: str
    record_types: list[DatasetType]

    @classmethod
    def of(cls, dataset: DatasetRead) -> Self:
        """Return the dataset as it is shown."""
        return cls(
            name=dataset.name, record_types=[DatasetType.of(dataset.name, read) for read in dataset.record_types]
        )


class DatasetList(Listed[Dataset]):
    """Datasets, by name."""
