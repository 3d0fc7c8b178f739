"""Opening files below the import root."""

from domain.sources.file import FileSource as FileSpec
from sources.file.source import FileSource
from sources.registry import ImportRoot


class Opener:
    """Opens files. Nothing stays open between them."""

    def __init__(self, root: ImportRoot) -> None:
        self._root = root

    def open(self, source: FileSpec) -> FileSource:
        """Return a file to read. Raises Unreadable if its name tells no format."""
        root = self._root
        return FileSource(root=root.folder, path=source.path, staging_folder=root.staging_folder, parser=root.parser)

    def follow(self, root: ImportRoot) -> None:
        """The folder of an identity stays the same."""

    async def aclose(self) -> None:
        """Hold nothing open."""
