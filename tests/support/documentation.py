"""The project's Markdown pages as data: their links, anchors, tables, and the shell commands with what they print.

A fence `sh` is run by a test, in the order of the page. The block after it (`json`, `ndjson`, `csv` or `text`) is what
its commands print. A fence `sh not tested: REASON` is not run; docs/README.md lists these.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
NOT_TESTED = "sh not tested: "
SHOWN = ("json", "ndjson", "csv", "text")


@dataclass(frozen=True)
class Example:
    """Commands, and what they print: `shown_as` is the language of its block, None if the page shows nothing."""

    commands: str
    shown_as: str | None
    shown: str


def pages() -> list[Path]:
    """Every page for readers, of this project's own."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def read(page: Path | str) -> str:
    """The text of a page; a name is relative to the project."""
    return (ROOT / page).read_text(encoding="utf-8")


def examples(page: Path | str) -> list[Example]:
    """The commands of a page that are run."""
    found: list[Example] = []
    is_run = False
    for fence in FENCE.finditer(read(page)):
        info, text = fence["info"], dedent(fence["text"])
        if info.startswith("sh"):
            is_run = info == "sh"
            if is_run:
                found.append(Example(text, None, ""))
        elif info in SHOWN and is_run:
            found[-1] = Example(found[-1].commands, info, text)
            is_run = False
    return found


def untested(page: Path | str) -> list[tuple[str, str]]:
    """The commands of a page that are not run: the first line of each block, and the reason."""
    return [
        (fence["text"].strip().splitlines()[0].partition("#")[0].strip(), fence["info"].removeprefix(NOT_TESTED))
        for fence in FENCE.finditer(read(page))
        if fence["info"].startswith(NOT_TESTED)
    ]


def table(page: Path | str, *header: str) -> list[list[str]]:
    """The rows below the header that begins with these cells, as cells without the blanks around them."""
    start = "| " + " | ".join(header) + " |"
    _, found, rest = read(page).partition("\n" + start)
    assert found, f"{page} has no table {start}"
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [_cells(line) for line in lines if line.startswith("|")]


def tables(page: Path | str) -> Iterator[list[str]]:
    """The rows of all tables of a page, headers included."""
    for line in FENCE.sub("", read(page)).splitlines():
        if line.startswith("|") and set(line) - set("|-: "):
            yield _cells(line)


def names_in(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def links(page: Path) -> list[str]:
    """The targets of a page's links, but for those in code."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    return [link["target"] for link in LINK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = 0
        name = slug
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def _cells(line: str) -> list[str]:
    escaped = line.strip().strip("|").replace(r"\|", "\0")
    return [cell.replace("\0", "|").strip() for cell in escaped.split("|")]
