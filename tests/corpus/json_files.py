"""Making files of JSON lines: documents of every shape and spelling that JSON allows, and lines that are none."""

import json
import random
from dataclasses import dataclass, replace
from typing import Any

from tests.corpus.compressing import broken, compressed
from tests.corpus.csv_styles import ENCODINGS, ENDINGS
from tests.corpus.expected import Case, Expected, Refusal, Reject, Row, is_same, refused
from tests.corpus.json_rules import judge_json

Random = random.Random
_TEXTS = (
    "", "a", "007", "1.0", " a ", '"', "\\", "/", "\n", "\r", "\t", "\b", "\x01", "\x1f", "\x7f", "é", "日本",
    "\U0001f600", "\u2028", "\x85", "\ufeff", "\ufffd", "\ud7ff", "\ue000", "null", "NaN", "2024-01-01T00:00:00Z", "{}",
    "[1]", "a" * 300, "\uffff",
)  # fmt: skip
_NAMES = (
    "a",
    "A",
    "b",
    " a",
    "",
    "é",
    "日本",
    "a.b",
    "a/b",
    "~",
    "$",
    "c0",
    "json",
    "x" * 200,
    '"',
    "\\",
    "1",
    "\U0001f600",
    "id2",
)
_KEYS = ("id", "id", "id", "id of/it", "~id", "$.id", "clé", '"id"', "\\id", "ID", "[0]")
_NUMBERS: tuple[tuple[str, Any], ...] = (
    ("0", 0), ("-0", 0), ("7", 7), ("-1", -1), ("9007199254740993", 9007199254740993),
    ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
    ("9223372036854775808", "9223372036854775808"), ("-9223372036854775809", "-9223372036854775809"),
    ("18446744073709551616", "18446744073709551616"), ("1" + "0" * 40, "1" + "0" * 40), ("1.5", 1.5), ("-0.0", -0.0),
    ("1.0", 1.0), ("1e3", 1000.0), ("1E+2", 100.0), ("1e-7", 1e-7), ("0.1", 0.1),
    ("0.1000000000000000055511151231257827", 0.1), ("1e308", 1e308), ("5e-324", 5e-324), ("1e-400", 0.0),
    ("-1e-400", -0.0), ("2.2250738585072011e-308", 2.2250738585072011e-308),
    ("123456789012345678901234567890.5", 123456789012345678901234567890.5),
    ("1.7976931348623157e308", 1.7976931348623157e308), ("9007199254740993.0", 9007199254740992.0),
    ("100000000000000000000000e-20", 1000.0),
)  # fmt: skip
_NO_OBJECTS = (
    "\x0b", "\x0c", " \x0b\t", "\x1c",
    "not json", "[1]", '"text"', "1", "null", "true", "{", "}", '{"a":1', '{"a":1}}', '{"a":1}{"b":2}',
    '{"a":1} {"b":2}', '{"a":1},', '{"a":1,}', '{"a":[1,]}', "{'a':1}", '{"a":NaN}', '{"a":Infinity}',
    '{"a":[-Infinity]}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":0x1}', '{"a":1e}', '{"a":1e400}',
    '{"a":[1e999]}', '{"a":tru}', '{"a" 1}', "{a:1}", '{"a":1 "b":2}', '{"a":"\\x41"}', '{"a":"\\u12"}',
    '{"a":"\\u12G4"}', '{"a":"\t"}', '{"a":"\x01"}', '{"a":"b}', '{"a":1,"a":1}', '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}', '{"a":{"b":1,"b":1}}', '{"a":[{"b":1,"b":2}]}', '{"a":"\\ud800"}', '{"a":"\\udc00\\ud800"}',
    '{"a":"\\ud83dx"}', '{"\\ud800":1}', '{"a":{"\\udfff":1}}', '{"a":"\\u0000"}', '{"\\u0000":1}',
    '{"a":[{"b":"x\\u0000"}]}', '{"a":1}\r{"b":2}', "// note", '{"a":1} # note', '\ufeff{"a":1}', '{"a":1}\u00a0',
    "\u2028", '{"a":1}\x00', "\x00", '{"a":undefined}', '{"a":9,}', '{"a":"\\ud83d\\ude00\\ud83d"}', '{"":1,"":2}',
)  # fmt: skip
_NO_UTF_8 = (
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"\xc3":1}',
    b"\xff",
    b'{"a":"\xc0\xaf"}',
    b'{"a":"\xf4\x90\x80\x80"}',
    b'{"a":1}\xe9',
)


@dataclass(frozen=True, slots=True)
class Line:
    """A written line and its value; None if it is to be rejected."""

    text: bytes
    value: dict[str, Any] | None


def draw_json(name: str, rng: Random) -> Case:
    """Return a file and its result by the rules, which is checked against the written values."""
    encoding = rng.choice(("utf-8", "utf-8", *ENCODINGS))
    end = rng.choice(("\n", "\n", "\r\n"))
    tags = {f"encoding {encoding}", f"line ends {end!r}"}
    key = rng.choice(_KEYS)
    lines = [_line(rng, key, number) for number in range(rng.choice((0, 1, 5, 20, 60)))]
    if rng.random() < 0.5:
        for _ in range(rng.randrange(1, 6)):
            lines.insert(rng.randrange(len(lines) + 1), _malformed(rng, is_utf_8=encoding.startswith("utf-8")))
        if lines[0].text.startswith((b"\xef\xbb\xbf", b"\x00")):  # which would be another byte order mark
            lines.insert(0, _only_key(key, "first"))
        tags.add("malformed lines")
    if lines and not any(line.value for line in lines) and any(line.text.startswith(b"{") for line in lines):
        lines.append(_only_key(key, "last"))  # or the key would be no column
    mark, codec = ENCODINGS[encoding]
    parts = [_recoded(line.text, codec) for line in lines]
    if rng.random() < 0.4:
        for _ in range(rng.randrange(1, 5)):
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(("", " ", "\t ", "  ")).encode(codec))
        tags.add("blank lines")
    content = mark + end.encode(codec).join(parts)
    content += rng.choice((b"", end.encode(codec), end.encode(codec), (2 * end).encode(codec)))
    ending = rng.choice(ENDINGS)
    file_name = f"{name}.{rng.choice(('jsonl', 'ndjson'))}{ending}"
    tags.add(f"jsonl{ending}")
    if ending and rng.random() < 0.2:
        spoiled, mentions = broken(rng, content, ending)
        return Case(file_name, spoiled, refused(mentions), (key,), frozenset(tags | {"broken compression"}))
    expected = judge_json(content)
    assert len(expected.records) == len(lines), f"{name}: {len(expected.records)} records for {len(lines)}"
    for judged, line in zip(expected.records, lines, strict=True):
        if isinstance(judged, Reject):
            assert line.value is None, f"{name}: {line} is rejected"
        else:
            assert is_same(line.value, judged.payload), f"{name}: {judged} for {line}"
    expected = _where_no_row_has(key, expected)
    return Case(
        file_name, compressed(rng, content, ending), expected, (key,), frozenset(tags), rng.choice((1, 3, 7, 50))
    )


def _where_no_row_has(key: str, expected: Expected) -> Expected:
    """Let a file of which no row has the key be refused: whether a line that is to be rejected names it isn't said."""
    if any(isinstance(record, Row) and key in record.payload for record in expected.records):
        return expected
    return replace(expected, refusal=expected.refusal or Refusal("column", is_certain=False))


def _recoded(text: bytes, codec: str) -> bytes:
    return text if codec == "utf-8" else text.decode().encode(codec)


def _only_key(key: str, value: str) -> Line:
    return Line(json.dumps({key: value}).encode(), {key: value})


def _line(rng: Random, key: str, number: int) -> Line:
    names = rng.sample(_NAMES, rng.randrange(5))
    members: dict[str, Any] = {key: f"r{number}"}
    spelled = [(_text(rng, key), _text(rng, f"r{number}"))]
    for name in names:
        text, members[name] = _value(rng, rng.choice((0, 1, 3)))
        spelled.append((_text(rng, name), text))
    return Line(_object(rng, rng.sample(spelled, len(spelled))).encode(), members)


def _malformed(rng: Random, *, is_utf_8: bool) -> Line:
    drawn = rng.random()
    if is_utf_8 and drawn < 0.2:
        return Line(rng.choice(_NO_UTF_8), None)
    if drawn < 0.3:
        levels = rng.choice((99, 100, 101, 150, 250, 5000))
        return _nested(rng, levels)
    return Line(rng.choice(_NO_OBJECTS).encode(), None)


def _nested(rng: Random, levels: int) -> Line:
    """Lists or objects in each other, in an object; past a hundred they are too deep."""
    opening, closing = rng.choice((("[", "]"), ('{"b":', "}")))
    inside = '"x"' if rng.random() < 0.5 else "18446744073709551616"
    text = '{"id":"nested ' + str(rng.random()) + '","a":' + opening * levels + inside + closing * levels + "}"
    return Line(text.encode(), json.loads(text, parse_int=str) if levels < 100 else None)


def _value(rng: Random, depth: int) -> tuple[str, Any]:
    """Return a value as it is spelled, and as it is."""
    drawn = rng.random()
    if depth and drawn < 0.25:
        items = [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
        return _list(rng, [text for text, _ in items]), [value for _, value in items]
    if depth and drawn < 0.5:
        names = rng.sample(_NAMES, rng.randrange(4))
        members = [(name, *_value(rng, depth - 1)) for name in names]
        spelled = _object(rng, [(_text(rng, name), text) for name, text, _ in members])
        return spelled, {name: value for name, _, value in members}
    if drawn < 0.75:
        text = "".join(rng.choice(_TEXTS) for _ in range(rng.choice((1, 1, 3))))
        return _text(rng, text), text
    if drawn < 0.9:
        return rng.choice(_NUMBERS)
    return rng.choice((("null", None), ("true", True), ("false", False)))


def _blank(rng: Random) -> str:
    return "" if rng.random() < 0.8 else rng.choice((" ", "\t", "  ", "\r"))


def _list(rng: Random, items: list[str]) -> str:
    return f"{_blank(rng)}[{','.join(f'{_blank(rng)}{item}{_blank(rng)}' for item in items)}]"


def _object(rng: Random, members: list[tuple[str, str]]) -> str:
    inside = ",".join(f"{_blank(rng)}{name}{_blank(rng)}:{_blank(rng)}{value}" for name, value in members)
    return f"{{{inside}{_blank(rng)}}}"


def _text(rng: Random, text: str) -> str:
    """Return a text between quotes; characters may be escaped that needn't be."""
    always = rng.random() < 0.1
    spelled = []
    for character in text:
        if character in '"\\' or character < " ":
            spelled.append(json.dumps(character)[1:-1] if rng.random() < 0.7 else f"\\u{ord(character):04X}")
        elif always or rng.random() < 0.03:
            spelled.append(
                r"\/"
                if character == "/"
                else json.dumps(character)[1:-1]
                if ord(character) > 127
                else f"\\u{ord(character):04x}"
            )
        else:
            spelled.append(character)
    return '"' + "".join(spelled) + '"'
