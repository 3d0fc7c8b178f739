"""Converting an open file to Parquet whose columns are `c0`, `c1` …, in row groups of a few thousand rows."""

from dataclasses import dataclass, field
from pathlib import Path

from sources.file.csv_file import convert_csv
from sources.file.decompression import read_blocks
from sources.file.formats import Format, Layout, format_of
from sources.file.json_lines import convert_json_lines
from sources.file.parquet_file import convert_parquet
from sources.file.text import utf8_blocks
from sources.staged.content import Content
from sources.staged.pinned import content_hash, version


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """An open file of a format."""

    file: int
    format_: Format
    seen: tuple[int, int, int] = field(init=False)
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", version(self.file))
        object.__setattr__(self, "content_hash", content_hash(self.file))

    @property
    def form(self) -> str:
        """The format's name."""
        return self.format_.name

    @property
    def has_changed(self) -> bool:
        """Whether the file was written to since it was pinned."""
        return version(self.file) != self.seen

    def convert(self, to: Path) -> Content:
        """Write its rows to `to`, in their order; raises Unreadable if the content doesn't have the format."""
        return convert(file=self.file, format_=self.format_, to=to)


def pin(*, file: int, path: str, **_: object) -> PinnedFile:
    """Return an open file; the ending of `path` gives its format."""
    return PinnedFile(file, format_of(path))


def convert(*, file: int, format_: Format, to: Path) -> Content:
    """Write the rows of an open file to `to`, in order; raises Unreadable if the content doesn't have the format."""
    # The descriptor, not the path: the opened file is read, even if its path names another one by now.
    path = Path(f"/dev/fd/{file}")
    if format_.layout is Layout.PARQUET:
        return convert_parquet(str(path), to)
    with path.open("rb") as opened:
        text = utf8_blocks(read_blocks(opened, format_.compression))
        return (convert_csv if format_.layout is Layout.CSV else convert_json_lines)(text, to)
