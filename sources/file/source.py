"""A file as a source: CSV, JSON lines or Parquet."""

from pathlib import Path

from sources.file.formats import format_of
from sources.staged.parser import Parser
from sources.staged.source import StagedSource


class FileSource(StagedSource):
    """One file below the import root.

    Values of a CSV are always text; see `sources/values.py` for the other formats.
    """

    def __init__(
        self,
        *,
        root: Path,
        path: str,
        staging_folder: Path,
        parser: Parser | None = None,
        memory_limit: str = "200MB",
    ) -> None:
        """Raises Unreadable if the path's ending is unknown."""
        format_of(path)
        super().__init__(
            {"type": "file", "path": path},
            root=root,
            staging_folder=staging_folder,
            parser=parser,
            memory_limit=memory_limit,
        )
