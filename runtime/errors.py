"""Errors that keep a process from starting.

Each message is for the person at the terminal: one sentence, with the remedy. The tree::

    StartError
    └── SettingError   a setting is wrong, or two contradict each other

`launcher/errors.py` has those of a port, a data folder and the embedded engines.
"""


class StartError(Exception):
    """The process can't start."""

    exit_code = 1


class SettingError(StartError):
    """A setting is wrong, or two contradict each other."""

    exit_code = 2
