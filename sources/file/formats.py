"""The formats of files that can be imported, known by the file's name."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sources.errors import Unreadable, echoed


class Layout(StrEnum):
    """How a file's rows are written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


Compression = Literal["none", "gzip", "zstd"]


@dataclass(frozen=True, slots=True)
class Format:
    """A layout and its compression."""

    layout: Layout
    compression: Compression = "none"

    @property
    def name(self) -> str:
        """The format's name, as used in file names."""
        return self.layout if self.compression == "none" else f"{self.layout}-{self.compression}"


_LAYOUTS = {
    ".csv": Layout.CSV,
    ".tsv": Layout.CSV,
    ".jsonl": Layout.JSON_LINES,
    ".ndjson": Layout.JSON_LINES,
    ".parquet": Layout.PARQUET,
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}


def format_of(path: str) -> Format:
    """Return the format by the ending of a file's name, in any case; raises Unreadable for an unknown ending."""
    name = path.lower()
    compression: Compression = "none"
    for ending, found in _COMPRESSIONS.items():
        if name.endswith(ending):
            name, compression = name.removesuffix(ending), found
    layout = next((layout for ending, layout in _LAYOUTS.items() if name.endswith(ending)), None)
    if layout is None or (layout is Layout.PARQUET and compression != "none"):
        raise Unreadable(
            f"{echoed(path)} is of no format that can be imported: name a .csv, .tsv, .jsonl or .ndjson file, plain or "
            "with .gz or .zst, or a .parquet file."
        )
    return Format(layout, compression)
