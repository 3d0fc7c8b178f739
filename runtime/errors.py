"""What keeps a process from starting.

Each message is for the person at the terminal: one sentence, and what to do. The tree::

    StartError
    ├── SettingError              a setting is wrong, or two contradict each other
    ├── PortTakenError            another program listens on the port
    └── EngineError               an embedded engine can't be used
        ├── EnginesMissingError   its wheel isn't installed, or has nothing for this machine
        └── FolderInUseError      another run holds the data folder
"""


class StartError(Exception):
    """The process can't do what it was started for."""

    exit_code = 1


class SettingError(StartError):
    """A setting is wrong, or two contradict each other."""

    exit_code = 2


class PortTakenError(StartError):
    """Another program listens on the port."""


class EngineError(StartError):
    """An embedded engine can't be used."""


class EnginesMissingError(EngineError):
    """The engines aren't installed here."""


class FolderInUseError(EngineError):
    """Another run holds the data folder."""
