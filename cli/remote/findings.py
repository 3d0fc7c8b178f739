"""What `doctor` finds: each is ok, a warning, or failing, and says what to do."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from rich.console import Console
from rich.text import Text

from cli.remote.errors import NOT_COMPLETED
from cli.remote.output import print_json
from cli.remote.printable import one_line


class Level(StrEnum):
    """How bad it is. Something failing keeps work from being accepted or done; a warning may become that."""

    OK = "ok"
    WARNING = "warning"
    FAILING = "failing"


STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILING: "bold red"}
_LEVEL_WIDTH, _CHECK_WIDTH = 9, 15


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; `do` is what a person should do, empty where nothing."""

    check: str
    level: Level
    detail: str
    do: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.OK, detail)


def warning(check: str, detail: str, do: str) -> Finding:
    """Return that somebody should look."""
    return Finding(check, Level.WARNING, detail, do)


def failing(check: str, detail: str, do: str) -> Finding:
    """Return that something doesn't work."""
    return Finding(check, Level.FAILING, detail, do)


class Report:
    """Prints findings as they come, and keeps whether something is failing."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._count_by_level = dict.fromkeys(Level, 0)

    def add(self, finding: Finding) -> None:
        """Print it."""
        self._count_by_level[finding.level] += 1
        if self._as_json:
            print_json(asdict(finding))
            return
        line = Text(f"{finding.level:<{_LEVEL_WIDTH}}", style=STYLES[finding.level])
        line.append(f"{finding.check:<{_CHECK_WIDTH}}", style="bold").append(one_line(finding.detail), style="default")
        self._console.print(line, soft_wrap=True)
        if finding.do:
            advice = f"{'':<{_LEVEL_WIDTH + _CHECK_WIDTH}}-> {one_line(finding.do)}"
            self._console.print(Text(advice), soft_wrap=True)

    def end(self) -> int:
        """Print how many there were of each; return the exit code."""
        if not self._as_json:
            counts = ", ".join(f"{number} {level}" for level, number in self._count_by_level.items())
            self._console.print(Text(counts), soft_wrap=True)
        return NOT_COMPLETED if self._count_by_level[Level.FAILING] else 0
