"""Imported rows and rejects as lines of a file."""

import orjson

from api.file_formats import FileFormat, csv_record
from api.schemas.records import Reject
from db.records import RecordRead

REJECT_COLUMNS = ("batch_id", "record_type", "position", "record_key", "code", "detail")


def ndjson_line(record: RecordRead) -> str:
    """Return a row as a line of JSON; its payload is copied byte by byte."""
    return f'{{"record_key":{orjson.dumps(record.record_key).decode()},"payload":{record.payload}}}\n'


def csv_line(record: RecordRead) -> str:
    """Return a row as a record of RFC 4180: its key, and its payload as JSON text."""
    return csv_record([record.record_key, record.payload])


def reject_ndjson_line(reject: Reject) -> str:
    """Return a reject as a line of JSON, with the members that lists show."""
    return reject.model_dump_json() + "\n"


def reject_csv_line(reject: Reject) -> str:
    """Return a reject as a record of RFC 4180, in the order of REJECT_COLUMNS."""
    return csv_record([getattr(reject, name) for name in REJECT_COLUMNS])


NDJSON = FileFormat("application/x-ndjson", "One row per line: `record_key` and `payload`.", "ndjson", "", ndjson_line)
CSV = FileFormat(
    "text/csv",
    "RFC 4180 in UTF-8. The first record names the columns: record_key, payload. A payload is JSON text. A key that a "
    "spreadsheet could take for a formula has an apostrophe put before it.",
    "csv",
    csv_record(["record_key", "payload"]),
    csv_line,
)
REJECTS_NDJSON = FileFormat(
    "application/x-ndjson", "One reject per line, each as in `items` of the list.", "ndjson", "", reject_ndjson_line
)
REJECTS_CSV = FileFormat(
    "text/csv",
    f"RFC 4180 in UTF-8. The first record names the columns: {', '.join(REJECT_COLUMNS)}. A row without a key has "
    "nothing there. A text that a spreadsheet could take for a formula has an apostrophe put before it.",
    "csv",
    csv_record(REJECT_COLUMNS),
    reject_csv_line,
)
