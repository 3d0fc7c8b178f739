"""How a CSV may be written: separator, line ends, quoting, encoding."""

import random
from dataclasses import dataclass

Random = random.Random
ENCODINGS = {
    "utf-8": (b"", "utf-8"),
    "utf-8-mark": (b"\xef\xbb\xbf", "utf-8"),
    "utf-16-le": (b"\xff\xfe", "utf-16-le"),
    "utf-16-be": (b"\xfe\xff", "utf-16-be"),
}
LINE_ENDS = {"lf": ("\n",), "crlf": ("\r\n",), "cr": ("\r",), "mixed": ("\n", "\r\n", "\r")}
QUOTINGS = ("least", "all", "any")
ENDINGS = ("", "", "", ".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Style:
    """How a file is written."""

    separator: str
    line_ends: tuple[str, ...]
    quoting: str
    encoding: str

    def encoded(self, text: str) -> bytes:
        mark, encoding = ENCODINGS[self.encoding]
        return mark + text.encode(encoding)


def draw_style(rng: Random) -> tuple[Style, frozenset[str]]:
    separator = rng.choice(",,,;\t|")
    encoding = rng.choice(("utf-8", *ENCODINGS))
    ends = rng.choice(list(LINE_ENDS))
    quoting = rng.choice(QUOTINGS)
    tags = frozenset({f"separator {separator!r}", f"encoding {encoding}", f"line ends {ends}", f"quoting {quoting}"})
    return Style(separator, LINE_ENDS[ends], quoting, encoding), tags


def spelled(rng: Random, value: str | None, style: Style) -> str:
    """Return a value as it may stand in a file; null is nothing, which only an unquoted field can say."""
    if value is None:
        return ""
    must_be_quoted = not value or any(character in value for character in f'{style.separator}"\r\n')
    if must_be_quoted or style.quoting == "all" or (style.quoting == "any" and rng.random() < 0.4):
        return '"' + value.replace('"', '""') + '"'
    return value
