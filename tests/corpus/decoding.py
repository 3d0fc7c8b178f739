"""The text of a file's bytes: UTF-8, with a byte order mark or without, and UTF-16 with one."""

import re

from tests.corpus.expected import Refusal

UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
OTHER_ENCODING = r"UTF-(8|16|32)|encod|Unicode|character"
"""Words of an error about a file's encoding."""
NO_TEXT = re.compile("[\ud800-\udfff]")
"""Replaces bytes that can't be decoded."""


def decoded(content: bytes) -> tuple[str, Refusal | None]:
    """Return the text, and a refusal where the file may be refused for what is no text in it.

    UTF-8 is read on behind bytes that are no text, since the line ends behind them are certain.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            text = content[2 : len(content) - len(content) % 2].decode(encoding, "surrogatepass")
            text += len(content) % 2 * "\udc00"
            return text, Refusal(OTHER_ENCODING, is_certain=False) if NO_TEXT.search(text) else None
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"), None
