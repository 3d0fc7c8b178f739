"""Make a file to import: `python -m bench.files rows.csv 1000000` or `… rows.jsonl.gz 1000000`; prints its checksum.

The checksum covers keys and payloads, independent of their order; CHECKSUM is the statement that computes it for the
imported rows.
"""

import csv
import gzip
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, TypeAlias

import orjson

Row: TypeAlias = tuple[int, str, int, str | None]
COLUMNS = ("id", "name", "cents", "note")
CHECKSUM = """
SELECT
    count(*) AS rows,
    sum(('x' || left(md5(concat_ws('|', r.record_key, p.id, p.name, p.cents, coalesce(p.note, '-'))), 15))
        ::bit(60)::bigint) AS checksum,
    count(*) FILTER (WHERE (SELECT count(*) FROM json_object_keys(r.payload)) <> 4) AS misshapen
FROM imported_records AS r
CROSS JOIN json_to_record(r.payload) AS p (id text, name text, cents text, note text)
"""


def write_rows(path: Path, rows: int) -> int:
    """Write `rows` rows in the format of the name; return their checksum. Rows are the same in each format."""
    checksum = 0
    with _open(path) as file:
        write = _writer(path, file)
        for row in _rows(rows):
            write(row)
            key, name, cents, note = row
            text = f"{key}|{key}|{name}|{cents}|{'-' if note is None else note}"
            checksum += int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:15], 16)
    return checksum


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "wt", 1, encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _rows(rows: int) -> Iterator[Row]:
    """Yield rows with gaps between keys, and texts with commas, quotes, line ends, other scripts, or empty."""
    notes = (None, "plain", 'a, "b"', "two\nlines", "größer als 倍")
    for number in range(rows):
        yield number * 3, f"customer {number * 2654435761 % 2**32:08x}", number * 7919 % 1_000_000, notes[number % 5]


def _writer(path: Path, file: TextIO) -> Callable[[Row], object]:
    if ".csv" in path.suffixes:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        return writer.writerow
    return lambda row: file.write(orjson.dumps(dict(zip(COLUMNS, row, strict=True))).decode() + "\n")


if __name__ == "__main__":
    print(write_rows(Path(sys.argv[1]), int(sys.argv[2])))
