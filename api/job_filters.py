"""The filter of jobs in a query: that of the list, and of actions over a filter."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from api.filters import METADATA, Moment, NameFilter, any_of, canonical_region, metadata_filter
from api.kinds import Kinds
from api.schemas.kinds import Kind
from db.job_filters import JobFilter
from domain.errors import ParameterError, ParametersRejected
from domain.registry import Registry
from domain.status import JobStatus

METADATA_KEY: dict[str, Any] = {
    "name": "metadata.KEY",
    "in": "query",
    "required": False,
    "description": "What the member KEY of the metadata is: `metadata.team=search`. Numbers and booleans as JSON has"
    " them. Every spec in question is read, so narrow it by other parameters where there are very many.",
    "schema": {"type": "string", "maxLength": 500},
    "example": "search",
}


class JobFilterParameters(BaseModel):
    """What jobs are narrowed to; all of it must hold. Other names are those of `metadata.KEY`."""

    model_config = ConfigDict(extra="allow")

    status: any_of(JobStatus) | None = Field(  # type: ignore[valid-type]
        default=None, description="One state, or several separated by commas."
    )
    kind: Kind | None = None
    name: NameFilter | None = Field(default=None, description="The whole name.")
    name_prefix: NameFilter | None = Field(default=None, description="How the name begins.")
    spec_hash: NameFilter | None = Field(default=None, description="Of its content, as a submission is told it.")
    error_code: NameFilter | None = Field(
        default=None, description="The code of its error, or of the error of one of its executions or batches."
    )
    model: NameFilter | None = Field(default=None, description="The id of a model of the job.")
    region: NameFilter | None = Field(default=None, description="A region of the job, by name or alias.")
    created_after: Moment | None = Field(default=None, description="From this moment on; RFC 3339, else UTC.")
    created_before: Moment | None = Field(default=None, description="Before this moment; RFC 3339, else UTC.")
    finished_after: Moment | None = Field(default=None, description="Ended from this moment on; RFC 3339, else UTC.")
    finished_before: Moment | None = Field(default=None, description="Ended before this moment; RFC 3339, else UTC.")


def read_job_filter(parameters: JobFilterParameters, registry: Registry, kinds: Kinds) -> JobFilter:
    """Return the filter that the parameters ask for. Raises ParametersRejected."""
    return JobFilter(
        statuses=parameters.status.split(",") if parameters.status else (),
        kind=_known_kind(parameters.kind, kinds),
        name=parameters.name,
        name_prefix=parameters.name_prefix,
        spec_hash=parameters.spec_hash,
        error_code=parameters.error_code,
        metadata=metadata_filter(parameters.model_extra or {}),
        model=parameters.model,
        region=canonical_region(parameters.region, registry),
        created_after=parameters.created_after,
        created_before=parameters.created_before,
        finished_after=parameters.finished_after,
        finished_before=parameters.finished_before,
    )


def job_filter_text(wanted: JobFilter) -> str:
    """Return the filter as a query; two that ask for the same in other words have one text, and none has an empty."""
    given: dict[str, str] = {f"{METADATA}{key}": value for key, value in wanted.metadata.items()}
    for name in (field.name for field in fields(wanted) if field.name not in ("statuses", "metadata")):
        value = getattr(wanted, name)
        if value is not None:
            given[name] = value.isoformat() if isinstance(value, datetime) else value
    if wanted.statuses:
        given["status"] = ",".join(sorted(set(wanted.statuses)))
    return filter_text(given)


def filter_text(given: Mapping[str, str]) -> str:
    """Return the values of parameters as a query in the order of their names."""
    return urlencode(sorted(given.items()), quote_via=quote, safe=",:")


def _known_kind(name: str | None, kinds: Kinds) -> str | None:
    """Return the name of a kind; raise ParametersRejected for a kind that isn't served."""
    if name is None or name in kinds.names:
        return name
    *others, last = [f"'{known}'" for known in kinds.names]
    detail = f"`kind`: Input should be {', '.join(others)} or {last}."
    raise ParametersRejected([ParameterError("kind", "invalid_parameter", detail)])
