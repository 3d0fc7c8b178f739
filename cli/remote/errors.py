"""Why a command that asks a service ends without success. Each message is for the person at the terminal.

The tree, with the exit codes::

    CommandFailed
    ├── WrongUse        2   arguments, a file or a variable can't be used
    ├── Refused         2   the service refused the request: its problem says why
    ├── NotReached      3   no answer, or none that is the service's
    │   └── Unavailable 3   the same, and a later try may succeed
    └── Interrupted   130   Ctrl-C, or 143 where the process was asked to end
"""

from collections.abc import Mapping
from typing import Any

NOT_COMPLETED = 1
"""The exit code where everything was answered, and a job didn't complete or a check fails."""


class CommandFailed(Exception):
    """The command didn't do what it was asked to."""

    exit_code = 1


class WrongUse(CommandFailed):
    """Arguments, a file or a variable can't be used."""

    exit_code = 2


class Refused(CommandFailed):
    """The service refused the request. `problem` is its problem document."""

    exit_code = 2

    def __init__(self, message: str, *, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class NotReached(CommandFailed):
    """The service didn't answer, or what answered isn't one. `problem` is a problem document, if there was one."""

    exit_code = 3

    def __init__(self, message: str, *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Unavailable(NotReached):
    """The service can't answer now; a later try may succeed, not before `retry_after_seconds` where that is known."""

    def __init__(
        self, message: str, *, problem: Mapping[str, Any] | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, problem=problem)
        self.retry_after_seconds = retry_after_seconds


class Interrupted(CommandFailed):
    """A person or the system asked the command to end; `exit_code` is 128 plus the signal's number."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
