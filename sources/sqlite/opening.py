"""Opening tables of SQLite files."""

from sources.staged.opening import StagedOpener


class Opener(StagedOpener):
    """Opens their staged form; only the staging process uses SQLite."""
