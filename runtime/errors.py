"""What keeps a process from starting.

Each message is for the person at the terminal: one sentence, and what to do. The tree::

    StartError
    ├── SettingError                a setting is wrong, or two contradict each other
    └── launcher.errors             of the embedded engines, which `make run` alone starts
"""


class StartError(Exception):
    """The process can't do what it was started for."""

    exit_code = 1


class SettingError(StartError):
    """A setting is wrong, or two contradict each other."""

    exit_code = 2
