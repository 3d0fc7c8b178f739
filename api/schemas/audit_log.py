"""The audit log as it is shown, and as lines of a file."""

from datetime import datetime
from typing import Self

import orjson
from pydantic import BaseModel, Field

from api.file_formats import FileFormat, csv_record
from api.paging import Listed
from db.audit_log import AuditOutcome, AuditRead


class AuditLogEntry(BaseModel):
    """A request or command that changed something, or a request that was refused."""

    at: datetime
    tenant: str | None = Field(
        description="Of the API key; `default` without authentication, null of a command and of 401."
    )
    key_id: str | None = Field(
        description="The API key. In a refusal with 401 the one that the request claimed to have."
    )
    client: str | None = Field(description="The address of a request.")
    account: str | None = Field(
        description="Of a command: the account and the machine. Of an access token: `oidc:` and its subject."
    )
    action: str = Field(
        description="Method and route, such as `POST /jobs/{job_id}/cancel`; or a command, such as `keys create`. The"
        " method alone for a request that was refused before its route was looked up."
    )
    target: dict[str, str | int] = Field(description="The ids that it named, or made.")
    outcome: AuditOutcome = Field(
        description="`done`; `replayed`: the first answer under its Idempotency-Key again; `refused`: nothing changed."
    )
    status_code: int | None = Field(description="Null of a command.")
    code: str | None = Field(description="Why it was refused.")
    request_id: str | None
    session_id: str | None = Field(
        description="The page session by which a request was allowed; null of a program's, and of `POST /jobs`."
    )

    @classmethod
    def of(cls, read: AuditRead) -> Self:
        """Return the entry as it is shown."""
        members = {name: getattr(read, name) for name in cls.model_fields}
        return cls.model_validate({**members, "target": orjson.loads(read.target)})


class AuditLog(Listed[AuditLogEntry]):
    """The audit log, newest first."""


COLUMNS = tuple(AuditLogEntry.model_fields)


def _ndjson_line(entry: AuditLogEntry) -> str:
    return entry.model_dump_json() + "\n"


def _csv_line(entry: AuditLogEntry) -> str:
    return csv_record(list(entry.model_dump(mode="json").values()))


NDJSON = FileFormat(
    "application/x-ndjson", "One entry per line, each as in `items` of the list.", "ndjson", "", _ndjson_line
)
CSV = FileFormat(
    "text/csv",
    f"RFC 4180 in UTF-8. The first record names the columns: {', '.join(COLUMNS)}. `target` is JSON text. A text that "
    "a spreadsheet could take for a formula has an apostrophe put before it.",
    "csv",
    csv_record(COLUMNS),
    _csv_line,
)
