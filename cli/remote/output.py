"""What a command prints: for people lines and tables, for programs one JSON document a line."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.remote.printable import one_line

WIDE = 10_000
"""Columns of an output that is no terminal: nothing is cut there."""


def print_line(text: str) -> None:
    """Print a line for people on stdout; control characters of what others wrote are replaced."""
    sys.stdout.write(f"{one_line(text)}\n")
    sys.stdout.flush()


def print_json(document: Mapping[str, Any]) -> None:
    """Print a JSON document as one line."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


def print_note(text: str) -> None:
    """Print on stderr what isn't part of the answer; several lines stay several."""
    sys.stderr.write("".join(f"{one_line(line)}\n" for line in text.split("\n")))
    sys.stderr.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, cut: str | None = None) -> None:
    """Print a table; on a terminal only the column `cut` gives way where it is too narrow."""
    console = terminal()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != cut)
    for row in rows:
        table.add_row(
            *(Text(one_line("" if cell is None else cell), no_wrap=True, overflow="ellipsis") for cell in row)
        )
    console.print(table)


def _cell(content: object) -> Text:
    return Text(one_line("" if content is None else content), no_wrap=True, overflow="ellipsis")


def terminal() -> Console:
    """Return stdout as a console that takes no text for markup."""
    console = Console(markup=False, highlight=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, emoji=False, width=WIDE)
