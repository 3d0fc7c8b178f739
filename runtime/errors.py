"""What keeps a process from starting.

Each message is for the person at the terminal: one sentence, and what to do. The tree::

    StartError
    └── SettingError   a setting is wrong, or two contradict each other

`launcher/errors.py` has those of a port, a data folder and the embedded engines.
"""


class StartError(Exception):
    """The process can't do what it was started for."""

    exit_code = 1


class SettingError(StartError):
    """A setting is wrong, or two contradict each other."""

    exit_code = 2
