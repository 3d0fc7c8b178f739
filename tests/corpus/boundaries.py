"""Files in which something that takes several bytes lies across a byte where a reader's buffer may end."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.corpus.compressing import compressed
from tests.corpus.csv_rules import judge_csv, standard_library_agrees
from tests.corpus.csv_styles import ENCODINGS
from tests.corpus.expected import Case, Row
from tests.corpus.json_rules import judge_json

Random = random.Random
SMALL = (4096, 8192, 65_536)
MIDDLE = (1 << 20, 2 << 20)
LARGE = (16_000_000, 1 << 24, 32_000_000)
_CSV_FEATURES = (
    'f,"a""b"\n', "f,a\r\n", "f,a\r", "f,\n", 'f,""\n', '"f","a"\r\n', "f,日本\n", "f,\U0001f600é\n", "\r\n\r\nf,a\n",
    "\n\n\nf,a\n", 'f,"a\r\nb"\n', 'f,"\r"\n', 'f,""""\n', 'f,"a,""\n"",b"\n', "f,a\r\r\n", 'f," "\r\n', "f,\ufeff\n",
    'f,"日本"\r',
)  # fmt: skip
_JSON_FEATURES = (
    '{"id":"f","v":"\\u00e9"}\n', '{"id":"f","v":"\\ud83d\\ude00"}\n', '{"id":"f","v":"日本"}\r\n',
    '{"id":"f","v":"\U0001f600"}\n', '{"id":"f","v":12345678901234567890}\n', '{"id":"f","v":-1.25e-7}\n',
    '{"id":"f","v":"a\\\\"}\n', '\n\r\n \n{"id":"f"}\n', '{"id":"f","v":"\\""}\n', '{"id":"f","v":[true,null,false]}\n',
    '{"id":"f" , "v":"\ufeff"}\r\n',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Text:
    """The parts of a format: its header, how a short record, a wide and a last one are written, and what is tried."""

    layout: str
    header: str
    short: str
    wide: str
    last: str
    features: Sequence[str]


_CSV = _Text("csv", "id,v\n", "r{0},value of {0}\n", "w{0},{1}\n", "z,the end", _CSV_FEATURES)
_QUOTED_CSV = _Text(
    "csv", "id,v\r\n", '"r{0}","a ""value"" of\n{0}"\r\n', '"w{0}","{1}"\r\n', '"z","the end"', _CSV_FEATURES
)
_JSON = _Text(
    "jsonl", "", '{{"id":"r{0}","v":[{0},"a value"]}}\n', '{{"id":"w{0}","v":"{1}"}}\n', '{"id":"z"}', _JSON_FEATURES
)
_TEXTS = (_CSV, _QUOTED_CSV, _JSON)


def draw_boundary(name: str, rng: Random, boundaries: Sequence[int]) -> Case:
    """Return a file of which a byte of some feature is the last before a boundary.

    What stands before is one wide record, or many short ones and one that fills up.
    """
    text = rng.choice(_TEXTS)
    mark, encoding = ENCODINGS[rng.choice(("utf-8", "utf-8", *ENCODINGS))]
    boundary, feature = rng.choice(boundaries), rng.choice(text.features).encode(encoding)
    first = boundary - rng.randrange(len(feature) + 1)
    content = bytearray(mark + text.header.encode(encoding))
    before = rng.choice(("one wide record", "many records"))
    number = 0
    while before == "many records" and len(content) + 200 < first:
        content += text.short.format(number).encode(encoding)
        number += 1
    content += _wide(text, encoding, number, first - len(content))
    content += feature + text.last.encode(encoding)
    return _case(name, rng, text, bytes(content), frozenset({f"boundary {boundary}", before}))


def draw_crossing(name: str, rng: Random, boundaries: Sequence[int]) -> Case:
    """Return a file of which a wide record lies across a boundary, behind others or by its width, and before others."""
    text = rng.choice(_TEXTS)
    mark, encoding = ENCODINGS[rng.choice(("utf-8", "utf-8", *ENCODINGS))]
    boundary = rng.choice(boundaries)
    crossing = boundary * rng.choice((2, 3, 6)) // 16
    before = boundary - rng.randrange(1, crossing)
    content = bytearray(mark + text.header.encode(encoding))
    behind_others = [before // 8 - 50] * 8 + [crossing]
    for number, size in enumerate(rng.choice((behind_others, [boundary + boundary // 32]))):
        content += _wide(text, encoding, number, size)
    content += b"".join(text.short.format(number).encode(encoding) for number in range(3)) + text.last.encode(encoding)
    return _case(name, rng, text, bytes(content), frozenset({f"boundary {boundary}", "crossing record"}))


def _wide(text: _Text, encoding: str, number: int, size: int) -> bytes:
    """Return a record of so many bytes, or of one fewer where a character has two."""
    empty = len(text.wide.format(number, "").encode(encoding))
    return text.wide.format(number, "x" * ((size - empty) // len("x".encode(encoding)))).encode(encoding)


def draw_row_count(name: str, rng: Random, counts: Sequence[int]) -> Case:
    """Return a file of about as many rows as a reader may take at once."""
    text = rng.choice(_TEXTS)
    rows = rng.choice(counts) + rng.choice((-1, 0, 1))
    content = (text.header + "".join(map(text.short.format, range(rows)))).encode()
    case = _case(name, rng, text, content, frozenset({f"rows {rows}"}))
    assert len(case.expected.records) == rows, f"{name}: {len(case.expected.records)} records for {rows}"
    return case


def _case(name: str, rng: Random, text: _Text, content: bytes, tags: frozenset[str]) -> Case:
    expected = judge_json(content) if text.layout == "jsonl" else judge_csv(content)
    assert all(isinstance(record, Row) for record in expected.records), f"{name}: nothing is malformed"
    if text.layout == "csv" and len(content) < LARGE[0]:
        assert standard_library_agrees(content, expected), f"{name}: the csv module reads it otherwise"
    ending = rng.choice(("", "", ".gz", ".zst"))
    packed = compressed(rng, content, ending)
    file_name, tags = f"{name}.{text.layout}{ending}", tags | {f"{text.layout}{ending}"}
    return Case(file_name, packed, expected, ("id",), tags, max(7, len(expected.records) // 40))
