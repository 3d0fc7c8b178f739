"""Errors that keep a run, or the API alone, from starting.

Each message is for the person at the terminal: one sentence, with the remedy. The tree::

    StartError (runtime.errors)
    ├── PortTakenError            another program listens on the port
    └── EngineError               an embedded engine can't be used
        ├── EnginesMissingError   its wheel isn't installed, or has nothing for this machine
        └── FolderInUseError      another run holds the data folder
"""

from runtime.errors import StartError


class PortTakenError(StartError):
    """Another program listens on the port."""


class EngineError(StartError):
    """An embedded engine can't be used."""


class EnginesMissingError(EngineError):
    """The engines aren't installed here."""


class FolderInUseError(EngineError):
    """Another run holds the data folder."""
