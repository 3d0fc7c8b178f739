"""Converting an open file to Parquet whose columns are `c0`, `c1` …, in row groups of a few thousand rows."""

from pathlib import Path

from sources.content import Content
from sources.csv_file import convert_csv
from sources.decompression import read_blocks
from sources.formats import Format, Layout
from sources.json_lines import convert_json_lines
from sources.parquet_file import convert_parquet
from sources.text import utf8_blocks


def convert(*, file: int, format_: Format, to: Path) -> Content:
    """Write the rows of an open file to `to`, in their order; raises Unreadable for what isn't of its format."""
    # The descriptor, not the path: what was opened is what is read, whoever moves files meanwhile.
    path = Path(f"/dev/fd/{file}")
    if format_.layout is Layout.PARQUET:
        return convert_parquet(str(path), to)
    with path.open("rb") as opened:
        text = utf8_blocks(read_blocks(opened, format_.compression))
        return (convert_csv if format_.layout is Layout.CSV else convert_json_lines)(text, to)
