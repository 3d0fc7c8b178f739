"""What a person or a program sees of a job that is followed: a live picture, a line per change, or JSON lines."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.remote.following import Look
from cli.remote.grid_view import draw_grid
from cli.remote.import_view import draw_import
from cli.remote.output import print_json, print_line, print_note
from cli.remote.printable import duration, number, one_line
from cli.remote.states import count, done, legend

RATE_SECONDS = 30.0
"""Over which the rate is measured."""
LINE_SECONDS = 1.0
"""How often counts alone make another line."""
FREE_LINES = 2
"""Above the grid, and below it for the cursor."""
WIDEST_BAR = 40


class Pace:
    """How fast a job goes: its cells, or an import's rows, over the last while."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, ended: int, now: float) -> None:
        """Note how many had ended at this moment of a monotonic clock; fewer than before begin it anew."""
        if self._seen and ended < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_SECONDS:  # noqa: PLR2004 - a first and a last
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """How many end in a second; None as long as none did."""
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - began) if last > first and now > began else None


def measure(look: Look, pace: Pace) -> tuple[str, int, int, float | None, float | None]:
    """Return what is counted, how many ended, of how many, how many a second, and the seconds left."""
    imported = look.job["import_progress"]
    if imported and imported["rows"]["expected"]:
        rows = imported["rows"]
        return "rows", rows["read"], rows["expected"], imported["rows_per_second"], imported["seconds_left"]
    numbers = count(look.job)
    ended, planned = done(numbers), look.job["progress"]["planned"]
    rate = pace.per_second
    left = (planned - ended) / rate if rate else None
    return ("batches" if imported else "cells"), ended, planned, rate, left


class JsonView:
    """Prints each event, and the job once it has ended, as JSON lines."""

    draws = False

    def show(self, look: Look) -> None:
        """Print them."""
        for event in look.events:
            print_json({"job_id": look.job["id"], **event})
        if look.job["finished_at"] is not None:
            print_json(look.job)

    def lose(self, reason: str) -> None:
        """Say it on stderr."""
        print_note(reason)


class LineView:
    """Prints a line per change; of counts alone one a second."""

    draws = False

    def __init__(self) -> None:
        self._pace = Pace()
        self._state: tuple[object, ...] = ()
        self._numbers: Mapping[str, int] = {}
        self._printed_at = 0.0
        self._is_lost = False

    def show(self, look: Look) -> None:
        """Print the job if it is another than the line before said."""
        now = time.monotonic()
        self._is_lost = False
        job, held = look.job, look.job["held"]
        numbers = {**count(job), "rows": (job["import_progress"] or {}).get("rows", {}).get("read", 0)}
        self._pace.note(done(count(job)), now)
        state = (job["status"], held and held["reason"], job["finished_at"])
        is_due = numbers != self._numbers and now - self._printed_at >= LINE_SECONDS
        if state != self._state or is_due:
            self._state, self._numbers, self._printed_at = state, numbers, now
            for line in _lines(look, self._pace):
                print_line(line)

    def lose(self, reason: str) -> None:
        """Say it once."""
        if not self._is_lost:
            print_note(reason)
        self._is_lost = True


class LiveView:
    """The picture on a terminal, drawn anew several times a second."""

    draws = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_plain = not console.encoding.startswith("utf")
        self._pace = Pace()
        self._look: Look | None = None
        self._lost: str | None = None

    def show(self, look: Look) -> None:
        """Keep it for the next drawing."""
        self._lost = None
        self._pace.note(done(count(look.job)), time.monotonic())
        self._look = look

    def lose(self, reason: str) -> None:
        """Show that what is drawn is old."""
        self._lost = reason

    def draw(self) -> RenderableType:
        """Return the picture."""
        if self._look is None:
            return Text(one_line(self._lost or "Looking …"))
        look, job = self._look, self._look.job
        parts: list[RenderableType] = [Text(line) for line in _head(job)]
        parts += [self._bar(look), legend(count(job), is_plain=self._is_plain)]
        parts += [Text(line, style="bold yellow") for line in _waits(job)]
        if self._lost:
            parts.append(Text(f"Not reached, trying again: {one_line(self._lost)}", style="bold yellow"))
        room = self._console.height - len(self._console.render_lines(Group(*parts))) - FREE_LINES
        if look.grid:
            parts += ["", draw_grid(look.grid, width=self._console.width, height=room, is_plain=self._is_plain)]
        elif job["import_progress"]:
            parts += ["", draw_import(job["import_progress"], look.waves, height=room, is_plain=self._is_plain)]
        return Group(*parts)

    def _bar(self, look: Look) -> Table:
        counted, ended, planned, rate, left = measure(look, self._pace)
        table = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=max(1, planned), completed=ended, width=min(WIDEST_BAR, self._console.width // 3))
        told = [f"{number(ended)}/{number(planned)} {counted}", f"{_percent(ended, planned)} %"]
        if look.job["finished_at"] is None:
            told += [f"{rate:,.1f}/s"] if rate else []
            told += [f"{duration(left)} left"] if left else []
        table.add_row(bar, *told)
        return table


def _percent(ended: int, planned: int) -> int:
    """Return the share in whole percent; 100 only if all have ended."""
    return 100 * ended // planned if planned else 0


def _head(job: Mapping[str, Any]) -> Iterator[str]:
    simulated = "   simulated: echo answers in place of providers" if job["simulated"] else ""
    yield one_line(f"{job['name']}   {job['id']}   {job['status']}{simulated}")
    if job["error"]:
        yield one_line(f"{job['error']['code']}: {job['error']['detail']}")


def _waits(job: Mapping[str, Any]) -> Iterator[str]:
    if held := job["held"]:
        yield one_line(f"held: {held['reason']}. {held['detail']}")
    if queue := job["queue"]:
        place = f" at place {number(queue['position'])}" if queue["position"] else ""
        yield f"waits for a worker{place}, for {duration(queue['waited_seconds'])} so far"


def _lines(look: Look, pace: Pace) -> Iterator[str]:
    job = look.job
    counted, ended, planned, rate, left = measure(look, pace)
    states = legend(count(job), is_plain=True).plain
    parts = [job["id"], job["status"], f"{number(ended)}/{number(planned)} {counted}", states]
    if imported := job["import_progress"]:
        parts.append(f"wave {imported['running_wave'] or '-'} of {imported['waves']}")
        parts.append(f"{number(imported['rows']['rejected'])} rejected")
    if job["finished_at"] is None and rate:
        parts += [f"{rate:,.1f}/s", *([f"{duration(left)} left"] if left else [])]
    if job["simulated"]:
        parts.append("simulated")
    yield "  ".join(part for part in parts if part)
    yield from (f"  {line}" for line in _waits(job))
    if job["error"]:
        yield f"  {job['error']['code']}: {job['error']['detail']}"
