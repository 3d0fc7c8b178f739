"""Making CSV files: dialects, encodings, line ends and quoting at random, with malformed records among the others."""

import random
from dataclasses import dataclass, replace

from tests.corpus.compressing import compressed
from tests.corpus.csv_rules import judge_csv, separator_of, standard_library_agrees
from tests.corpus.csv_styles import ENDINGS, Style, draw_style, spelled
from tests.corpus.expected import Case, Expected, Record, Reject, Row, is_same

Random = random.Random
_TEXTS = (
    "a", "007", "1.10", "-0", "1e5", " a", "a ", "  ", "\t", "a b", "NULL", "null", "\\N", "NaN", "#", "# note", "=1+1",
    "'", "\\", '\\"', '"', '""', 'a"b', "a,b", "a;b", "a|b", "a\tb", ",", ";", "|", "\n", "\r", "\r\n", "a\nb",
    "a\r\nb", "a\rb", "\n\n", "é", "größer", "日本", "\U0001f600", "e\u0301", "\u200b", "\ufeff", "\u2028", "\x85",
    "\x0b", "\x0c", "\x1c", "\x1e", "\x1a", "\x7f", "\x01", "\u00a0", "true", "2024-01-01", "'quoted'", "a\\nb", "-",
    "--", "x" * 300,
)  # fmt: skip
_NAMES = (
    "a", "A", "b", "id2", "ID2", " a", "a ", "a b", "a,b", "a;b", "a\tb", "a|b", 'a"b', "é", "日本", "1", "c0", "c1",
    "column0", "file_row_number", "select", "a.b", "a/b", "~", "$", "\u2028", "null", "NULL", "x" * 200, "filename",
    "rowid", "-", "#",
)  # fmt: skip
_NO_UTF_8 = (
    b"\xff", b"\xc3", b"\xe6\x97", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80", b"gr\xf6\xdfer",
    b'"\xe9"',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """A file as text: its columns, the one that is its key, its records as they are meant, and its lines."""

    style: Style
    tags: frozenset[str]
    names: tuple[str, ...]
    key: str
    intended: list[Record]
    text: str


def draw_csv(name: str, rng: Random) -> Case:
    """Return a file and its result by the rules, which is checked against the written values."""
    written = draw_written(rng)
    content, tags = written.style.encoded(written.text), written.tags
    if written.style.encoding.startswith("utf-8") and rng.random() < 0.2:
        content = _with_bad_bytes(rng, content, written)
        tags |= {"bad bytes"}
    expected = judge_csv(content)
    _agree(name, content, expected, written)
    ending = rng.choice(ENDINGS)
    packed = compressed(rng, content, ending)
    batch_size = rng.choice((1, 3, 7, 50))
    return Case(
        file_name(name, written.style, ending), packed, expected, (written.key,), tags | {f"csv{ending}"}, batch_size
    )


def file_name(name: str, style: Style, ending: str) -> str:
    return f"{name}.{'tsv' if style.separator == chr(9) else 'csv'}{ending}"


def draw_written(rng: Random) -> Written:
    """Return a file as text, without anything that could hide one of its records."""
    style, tags = draw_style(rng)
    names, key = _columns(rng)
    if len(names) == 1:
        style = replace(style, separator=",")  # which it is where the first line has none
    header = style.separator.join(spelled(rng, name, style) for name in names)
    if separator_of(header) != style.separator:
        return draw_written(rng)  # by the rules another character separates its columns
    rows = [
        _row(rng, names, key, number) for number in range(rng.choice((0, 1, 2, 7, 20, 60)) if len(names) < 100 else 3)
    ]
    lines = [header + rng.choice(style.line_ends), *_lines(rng, rows, style)]
    intended: list[Record] = [Row(row) for row in rows]
    if rng.random() < 0.35:
        tags |= _spoil(rng, lines, intended, style, len(names))
    text = "".join(_with_blank_lines(rng, lines, style))
    if rng.random() < 0.3:
        text = text.removesuffix("\n").removesuffix("\r")
    return Written(style, tags, names, key, intended, text)


def _agree(name: str, content: bytes, expected: Expected, written: Written) -> None:
    """Fail if the rules don't give the written values: then the corpus itself is wrong."""
    assert not expected.must_be_refused, f"{name}: {expected.refusal}"
    assert expected.columns == written.names, f"{name}: {expected.columns} for {written.names}"
    counts = len(expected.records), len(written.intended)
    assert counts[0] == counts[1], f"{name}: {counts[0]} records for {counts[1]}"
    for judged, wanted in zip(expected.records, written.intended, strict=True):
        assert type(judged) is type(wanted), f"{name}: {judged} for {wanted}"
        if isinstance(judged, Row) and isinstance(wanted, Row):
            assert is_same(wanted.payload, judged.payload), f"{name}: {judged} for {wanted}"
    assert standard_library_agrees(content, expected), f"{name}: the csv module reads it otherwise"


def _columns(rng: Random) -> tuple[tuple[str, ...], str]:
    """Return the columns' names and which of them is the key."""
    count = rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 3, 5, 5, 8, 8, 8, 40, 40, 1700))
    key = rng.choice(("id", "Id", "key of it", "é-id"))
    others = rng.sample(_NAMES, min(count - 1, len(_NAMES)))
    names = [*others, *(f"n{number}" for number in range(count - 1 - len(others)))]
    names.insert(rng.randrange(len(names) + 1), key)
    return tuple(names), key


def _row(rng: Random, names: tuple[str, ...], key: str, number: int) -> dict[str, str | None]:
    return {name: f"{rng.choice(('', ' ', 'k', 'é'))}{number}" if name == key else _value(rng) for name in names}


def _value(rng: Random) -> str | None:
    drawn = rng.random()
    if drawn < 0.12:
        return None
    if drawn < 0.2:
        return ""
    if drawn < 0.9:
        return rng.choice(_TEXTS)
    return "".join(rng.choice(_TEXTS) for _ in range(rng.randrange(2, 30)))


def _lines(rng: Random, rows: list[dict[str, str | None]], style: Style) -> list[str]:
    return [
        style.separator.join(spelled(rng, value, style) for value in row.values()) + rng.choice(style.line_ends)
        for row in rows
    ]


def _with_blank_lines(rng: Random, lines: list[str], style: Style) -> list[str]:
    """Return the lines with blank ones between them; behind a CR no LF is put, which would be one line end with it."""
    if rng.random() < 0.6:
        return lines
    mixed = [lines[0]]
    for line in lines[1:]:
        if rng.random() < 0.2:
            ends = [
                line_end for line_end in style.line_ends if not (mixed[-1].endswith("\r") and line_end.startswith("\n"))
            ]
            mixed += [rng.choice(ends)] if ends else []
        mixed.append(line)
    return mixed


def _spoil(rng: Random, lines: list[str], intended: list[Record], style: Style, columns: int) -> frozenset[str]:
    """Put records between the others, each of them malformed in itself; return what they were."""
    kinds = set()
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(intended) + 1)
        kind, record = rng.choice(_malformed_records(rng, style, columns))
        lines.insert(at + 1, record + rng.choice(style.line_ends))
        intended.insert(at, Reject())
        kinds.add(kind)
    return frozenset(kinds)


def _malformed_records(rng: Random, style: Style, columns: int) -> list[tuple[str, str]]:
    cell, separator = spelled(rng, "x", style), style.separator
    found = [
        ("too many values", separator.join([cell] * (columns + rng.choice((1, 2, 50))))),
        ("surplus empty values", separator.join([cell] * columns) + separator * rng.choice((1, 2, 9))),
        ("NUL", separator.join(["a\0b"] + [cell] * (columns - 1))),
        ("quoted NUL", separator.join(['"a\0"'] + [cell] * (columns - 1))),
    ]
    if columns == 1:
        found.append(("separators only in one column", separator * rng.choice((1, 3))))
        return found
    if columns > 2:
        found.append(("too few separators", separator * rng.randrange(1, columns - 1)))
    return [*found, ("too few values", separator.join([cell] * rng.randrange(1, columns)))]


def _with_bad_bytes(rng: Random, content: bytes, written: Written) -> bytes:
    """Return the file with a record behind the last in which a value isn't UTF-8, and a good one behind that."""
    values = [f"last {number}" for number in range(len(written.names))]
    written.intended.extend([Reject(), Row(dict(zip(written.names, values, strict=True)))])
    first_break = b"" if content.endswith((b"\n", b"\r")) else b"\n"
    bad = rng.choice(_NO_UTF_8) + (len(values) - 1) * written.style.separator.encode()
    return content + first_break + bad + b"\n" + written.style.separator.join(values).encode()
