"""What each code of a problem means and what to do, from the tables of the reference.

`breakwater openapi` writes them to `api/ui/problems.json`, which is installed with the package; the Markdown isn't.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

import orjson

FILE: Final = Path(__file__).resolve().parent / "ui" / "problems.json"
SOURCES: Final = (Path("docs/reference/errors.md"), Path("docs/reference/providers.md"))
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)\s]*\)")
_CODES: Final = re.compile(r"`([a-z_]+)`")
_REMEDIES: Final = (("do", ""), ("is tried again", "Tried again by itself: "), ("asked again", "Asked again: "))
"""Columns that say what is done, and the words before each."""
_ROW: Final = re.compile(r"^\|(?P<cells>.*)\|$")
_HEADING: Final = "## "


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means under a heading of the reference. Words between backticks are code.

    `status` is that of a problem with this code; None of codes that stand in `errors`, executions, jobs or rejects.
    """

    code: str
    about: str
    status: int | None
    means: str
    remedy: str


def read_reference(markdown: str) -> list[Explanation]:
    """Return the explanations of the page, in its order. A code may have several: of a spec, and of a source."""
    found: list[Explanation] = []
    about, columns = "", list[str]()
    for line in markdown.splitlines():
        if line.startswith(_HEADING):
            about, columns = line.removeprefix(_HEADING), []
        elif (row := _ROW.match(line)) is None:
            continue
        elif not columns:
            columns = _cells(row["cells"])
        elif "code" in columns:
            found += _explanations(about, dict(zip(columns, _cells(row["cells"]), strict=False)))
    return found


def as_json(pages: Iterable[str]) -> str:
    """Return the content of `api/ui/problems.json` for these pages of the reference."""
    found = [asdict(each) for page in pages for each in read_reference(page)]
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


@cache
def explanations() -> Mapping[str, Sequence[Explanation]]:
    """Return all explanations by code, in the order of the reference."""
    found: dict[str, list[Explanation]] = defaultdict(list)
    for each in orjson.loads(FILE.read_bytes()):
        found[each["code"]].append(Explanation(**each))
    return dict(found)


def _cells(row: str) -> list[str]:
    return [_LINK.sub(r"\1", cell.strip()) for cell in row.split("|")]


def _explanations(about: str, row: Mapping[str, str]) -> list[Explanation]:
    status = row.get("status", "")
    remedy = next((f"{before}{row[name]}" for name, before in _REMEDIES if row.get(name)), "")
    means = row.get("means") or row.get("what happened", "")
    return [
        Explanation(code, about, int(status) if status.isdigit() else None, means, remedy)
        for code in _CODES.findall(row["code"])
    ]
