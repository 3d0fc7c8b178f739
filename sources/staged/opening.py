"""Opening staged files, for all types of sources below the import root."""

from domain.sources.source import Source
from sources.opening import ImportRoot
from sources.staged.source import StagedSource


class StagedOpener:
    """Opens sources below one root. Nothing stays open between them."""

    def __init__(self, root: ImportRoot) -> None:
        self._root = root

    def open(self, source: Source) -> StagedSource:
        """Return a source to read."""
        root = self._root
        return StagedSource(
            source.to_json(),
            root=root.folder,
            hidden=root.hidden,
            staging_folder=root.staging_folder,
            parser=root.parser,
        )

    def follow(self, root: ImportRoot) -> None:
        """Hide other folders from now on; an identity keeps its own."""
        self._root = root

    async def aclose(self) -> None:
        """Hold nothing open."""
