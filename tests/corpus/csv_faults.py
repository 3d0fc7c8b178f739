"""CSV files with a fault that no reject can mend: what it may hide, or why nothing of the file can be read."""

import random
from collections.abc import Callable, Mapping

from tests.corpus.compressing import broken, compressed
from tests.corpus.csv_files import draw_written, file_name
from tests.corpus.csv_rules import judge_csv
from tests.corpus.csv_styles import ENCODINGS, ENDINGS, Style
from tests.corpus.expected import Case, refused

Random = random.Random


def draw_csv_fault(name: str, rng: Random) -> Case:
    """Return a file with one fault, chosen by the case's number, and the expected result."""
    written = draw_written(rng)
    fault = [*FAULTS, _COMPRESSION][int(name.rpartition("-")[2]) % (len(FAULTS) + 1)]
    ending = rng.choice(ENDINGS if fault != _COMPRESSION else (".gz", ".zst"))
    tags = written.tags | {fault, f"csv{ending}"}
    if fault == _COMPRESSION:
        content, mentions = broken(rng, written.style.encoded(written.text), ending)
        expected = refused(mentions)
    else:
        content = FAULTS[fault](rng, written.style, written.text)
        expected = judge_csv(content)
        content = compressed(rng, content, ending)
    assert expected.refusal is not None, f"{name}: {fault} is no fault"
    return Case(file_name(name, written.style, ending), content, expected, (written.key,), tags)


def _stray_quote(rng: Random, style: Style, text: str) -> bytes:
    """A quote where none may be, in a line of its own behind the others."""
    record = rng.choice(('x"y', '"x"y', ' "x"', '"x" ', 'x"', '"x""', '"', '"x"y"', 'a"b"', '\ufeff"x"'))
    return style.encoded(_ended(text) + record + "\n" + "tail\n" * rng.choice((0, 1, 5)))


def _swallowed_lines(rng: Random, style: Style, text: str) -> bytes:
    """Two quotes that have nothing to do with each other, and whole records between them."""
    between = "".join(f"r{number}{style.separator}v\n" for number in range(rng.choice((1, 10, 500))))
    return style.encoded(_ended(text) + rng.choice(('"open\n', 'z"\n"open\n')) + between + 'x" y\n')


def _ended(text: str) -> str:
    return text if text.endswith(("\n", "\r")) else text + "\n"


def _bad_header(rng: Random, style: Style, text: str) -> bytes:
    separator = style.separator
    header = rng.choice((
        "", "a{s}a", "a{s}", "{s}a", '"a"{s}""', 'a"b{s}c', '"a"b{s}c', '"a{s}b', "a\0{s}b", "{s}", '"a"{s}"a"',
    )).replace("{s}", separator)  # fmt: skip
    return style.encoded(header + rng.choice(style.line_ends) + separator.join(("x", "y")) + "\n")


def _no_text_in_the_header(rng: Random, style: Style, text: str) -> bytes:
    return b"gr\xf6\xdfe,b\n1,2\n"


def _other_encoding(rng: Random, style: Style, text: str) -> bytes:
    mark = rng.choice(("utf-32-le", "utf-32-be"))
    return ("\ufeff" + text).encode(mark)


def _half_a_character(rng: Random, style: Style, text: str) -> bytes:
    """UTF-16 that ends within a character, or has half of a pair."""
    mark, encoding = ENCODINGS[rng.choice(("utf-16-le", "utf-16-be"))]
    if rng.random() < 0.5:
        return mark + text.encode(encoding) + b"\x41"
    return mark + (_ended(text) + "\ud83d\n").encode(encoding, "surrogatepass")


def _nothing(rng: Random, style: Style, text: str) -> bytes:
    return rng.choice((b"", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe"))


_COMPRESSION = "broken compression"
FAULTS: Mapping[str, Callable[[Random, Style, str], bytes]] = {
    "stray quote": _stray_quote,
    "swallowed lines": _swallowed_lines,
    "bad header": _bad_header,
    "no text in the header": _no_text_in_the_header,
    "other encoding": _other_encoding,
    "half a character": _half_a_character,
    "nothing": _nothing,
}
