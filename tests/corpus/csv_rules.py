"""The rules of CSV, stated once more: RFC 4180 with any line end, and the result of each way to break it.

The first line names the columns. The separator is the one of `, ; tab |` that the first line has most of outside
quotes. A field is either quoted as a whole, with its quotes doubled, or holds no quote at all; every other character is
part of the value. CR, LF and CRLF each end a record. A line with nothing in it is no record.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.corpus.decoding import NO_TEXT, OTHER_ENCODING, UTF_32, decoded
from tests.corpus.expected import Expected, Record, Refusal, Reject, Row, refused

SEPARATORS = ",;\t|"
HEADER = r"first line|line 1\b"
"""Words of an error about the names of the columns."""
LONGEST_RECORD = 30_000_000
"""Longer ones may be refused, with a clear reason."""
MOST_MENTIONED = 2000
"""Characters of a refusal's reasons, after which no others are gathered."""
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class _Field:
    value: str
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A record's fields, its text, and where it begins; `stray` is the line of a quote where none may be."""

    fields: list[_Field]
    text: str
    line: int
    stray: int | None = None


def judge_csv(content: bytes) -> Expected:
    """Return the result of a strict reader for the decompressed bytes of a CSV."""
    if content.startswith(UTF_32):
        return refused(OTHER_ENCODING)
    text, refusal = decoded(content)
    header_text = _LINE_END.split(text, maxsplit=1)[0]
    separator = separator_of(header_text)
    records = _records(text, separator)
    header = next(records, None)
    if not header_text or header is None:
        return refused(HEADER)
    names = tuple(field.value for field in header.fields)
    if header.stray or not all(names) or len(set(names)) < len(names) or _unusable(header.text):
        return refused(HEADER)
    if _LINE_END.search("".join(names)):
        refusal = refusal or Refusal(HEADER, is_certain=False)
    judged: list[Record] = []
    for record in records:
        judged.append(_judged(record, names))
        refusal = _either(refusal, _refusal(record, names))
    return Expected(names, judged, refusal)


def separator_of(first_line: str) -> str:
    """Return the separator: of those that the line has most of, the first in the list."""
    outside = "".join(first_line.split('"')[::2])
    return max(SEPARATORS, key=outside.count)


def _records(text: str, separator: str) -> Iterator[_Parsed]:
    """Yield each record. One with a stray quote is taken to end with the line, since what is quoted isn't certain."""
    one_field = re.compile(rf'"([^"]*(?:""[^"]*)*)"|([^"\r\n{re.escape(separator)}]*)')
    behind = re.compile(rf"{re.escape(separator)}|\r\n|\r|\n|\Z")
    at, line = 0, 1
    while at < len(text):
        began, fields, stray = at, [], None
        while True:
            found = one_field.match(text, at)
            assert found is not None
            fields.append(_field(found))
            ended = behind.match(text, found.end())
            if ended is None:
                stray = line + _lines(text[began : found.end()])
                ended = _LINE_END.search(text, found.end())
                at = ended.end() if ended else len(text)
                break
            at = ended.end()
            if ended.group() != separator:
                break
        record = _Parsed(fields, text[began:at], line, stray)
        line += _lines(record.text)
        if record.text.strip("\r\n"):
            yield record


def _field(found: re.Match[str]) -> _Field:
    quoted, plain = found.groups()
    return _Field(plain, is_quoted=False) if quoted is None else _Field(quoted.replace('""', '"'), is_quoted=True)


def _lines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _unusable(text: str) -> bool:
    """Say whether a text can't be held: it was no text, or has a NUL."""
    return "\0" in text or NO_TEXT.search(text) is not None


def _judged(record: _Parsed, names: tuple[str, ...]) -> Record:
    if record.stray or len(record.fields) != len(names) or _unusable(record.text):
        return Reject(record.line)
    values = [field.value if field.value or field.is_quoted else None for field in record.fields]
    return Row(dict(zip(names, values, strict=True)), may_be_rejected=len(record.text) > LONGEST_RECORD)


def _refusal(record: _Parsed, names: tuple[str, ...]) -> Refusal | None:
    """Return why a record may, or must, end the file: what its quotes hold may be the records behind it."""
    last = record.line + _lines(record.text)
    said = (
        rf"\bline ({'|'.join(map(str, range(record.line, last + 1)))})\b" if last - record.line < 100 else r"\bline \d"
    )
    breaks_inside = _LINE_END.search(record.text.rstrip("\r\n")) is not None
    if record.stray:
        return Refusal(said, is_certain=breaks_inside or _is_never_closed(record.fields[-1]))
    if len(record.fields) != len(names) and breaks_inside:
        return Refusal(said, is_certain=False)
    return Refusal(said, is_certain=False) if len(record.text) > LONGEST_RECORD else None


def _is_never_closed(stray: _Field) -> bool:
    """Say whether the stray quote begins its field, and so swallows all that follows."""
    return not stray.is_quoted and not stray.value


def _either(first: Refusal | None, second: Refusal | None) -> Refusal | None:
    """Return the refusal of a file that has two reasons, of which an error may give any."""
    if first is None or second is None or len(first.mentions) > MOST_MENTIONED:
        return first or second
    return Refusal(f"{first.mentions}|{second.mentions}", is_certain=first.is_certain or second.is_certain)


def standard_library_agrees(content: bytes, expected: Expected) -> bool:
    """Say whether Python's csv module reads the same, of a file in which nothing is malformed; it knows no null."""
    if expected.refusal or any(isinstance(record, Reject) for record in expected.records):
        return True
    text, _ = decoded(content)
    csv.field_size_limit(1 << 30)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator_of(_LINE_END.split(text, maxsplit=1)[0]), strict=True
    )
    read = [row for row in reader if row]
    rows = [list(row.payload.values()) for row in expected.records if isinstance(row, Row)]
    return read == [list(expected.columns or ()), *([value or "" for value in row] for row in rows)]
