"""Opening files below the import root."""

from domain.sources.source import Source
from sources.file.formats import format_of
from sources.staged.opening import StagedOpener
from sources.staged.source import StagedSource


class Opener(StagedOpener):
    """Opens files; the ending of a file's name gives its format."""

    def open(self, source: Source) -> StagedSource:
        """Return a file to read. Raises Unreadable if the ending of its name is unknown."""
        format_of(source.names["path"])
        return super().open(source)
