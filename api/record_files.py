"""Imported rows as lines of a file."""

import orjson

from api.execution_files import FileKind, csv_record
from db.records import RecordRead


def ndjson_line(record: RecordRead) -> str:
    """Return a row as a line of JSON; its payload byte by byte as it is kept."""
    return f'{{"record_key":{orjson.dumps(record.record_key).decode()},"payload":{record.payload}}}\n'


def csv_line(record: RecordRead) -> str:
    """Return a row as a record of RFC 4180: its key, and its payload as JSON text."""
    return csv_record([record.record_key, record.payload])


NDJSON = FileKind("application/x-ndjson", "One row per line: `record_key` and `payload`.", "ndjson", "", ndjson_line)
CSV = FileKind(
    "text/csv",
    "RFC 4180 in UTF-8. The first record names the columns: record_key, payload. A payload is JSON text. A key that a "
    "spreadsheet could take for a formula has an apostrophe put before it.",
    "csv",
    csv_record(["record_key", "payload"]),
    csv_line,
)
