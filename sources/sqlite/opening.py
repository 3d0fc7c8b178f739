"""Opening tables of SQLite files."""

from sources.staged.opening import StagedOpener


class Opener(StagedOpener):
    """Opens them as what is staged of them: the process that stages is the one that knows SQLite."""
