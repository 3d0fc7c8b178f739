"""Executions as lines of a file: NDJSON for programs, CSV for spreadsheets."""

from api.file_formats import FileFormat, csv_record
from api.schemas.executions import Execution

COLUMNS = (
    "id",
    "job_id",
    "model_id",
    "region",
    "question_id",
    "status",
    "attempts",
    "provider",
    "provider_used",
    "simulated",
    "region_served",
    "output",
    "output_empty",
    "usage",
    "finish_reason",
    "is_complete",
    "model_used",
    "error_code",
    "error_detail",
    "error_retryable",
    "retry_at",
    "created_at",
    "queued_at",
    "started_at",
    "finished_at",
)
"""Of a CSV file: an execution's members; an error's are columns of their own, `usage` is JSON text."""


def ndjson_line(cell: Execution) -> str:
    """Return a cell as a line of JSON, with the members that lists show."""
    return cell.model_dump_json() + "\n"


def csv_line(cell: Execution) -> str:
    """Return a cell as a record of RFC 4180, in the order of COLUMNS.

    As in PostgreSQL's CSV, null is nothing between two commas and the empty text is "". A spreadsheet may run a
    provider's answer as a formula, so text that could be a formula gets an apostrophe before it; a number doesn't. Text
    that begins with an apostrophe gets another, so that removing one restores every text.
    """
    members = cell.model_dump(mode="json")
    error = members.pop("error") or {}
    members |= {f"error_{name}": error.get(name) for name in ("code", "detail", "retryable")}
    return csv_record([members[name] for name in COLUMNS])


NDJSON = FileFormat(
    "application/x-ndjson", "One execution per line, each as in `items` of the list.", "ndjson", "", ndjson_line
)
CSV = FileFormat(
    "text/csv",
    f"RFC 4180 in UTF-8. The first record names the columns: {', '.join(COLUMNS)}. Null is nothing between two commas, "
    'the empty text is `""`. Text that a spreadsheet could take for a formula (its first visible character is `=`, '
    "`+`, `-` or `@` and it is no number, or it begins with a tab or a line end) and text that begins with an "
    "apostrophe have an apostrophe put before them: take one off and every text is as it was. Text with a character "
    "that some readers take for a separator (`;`, `|`, a tab) is quoted.",
    "csv",
    csv_record(COLUMNS),
    csv_line,
)
