"""A CSV as RFC 4180 says that it is read, character by character: the judge of our reader, which cuts and splits."""

from dataclasses import dataclass


class Stray(Exception):
    """A quote where none may be, or one that is never closed."""


@dataclass(frozen=True)
class Record:
    """One record: its line from 1, and its values, None where nothing was written."""

    line: int
    values: list[str | None]


def read(text: str, separator: str = ",") -> list[Record]:
    """Every record, the first line included; a line with nothing in it is none. Raises Stray."""
    return list(_Reader(text, separator).records())


class _Reader:
    def __init__(self, text: str, separator: str) -> None:
        self.text, self.separator = text, separator
        self.at, self.line = 0, 1

    def records(self):
        while self.at < len(self.text):
            line = self.line
            if not self.line_end():
                values = [self.value()]
                while self.text[self.at : self.at + 1] == self.separator:
                    self.at += 1
                    values.append(self.value())
                yield Record(line, values)
                if self.at < len(self.text) and not self.line_end():
                    raise Stray

    def line_end(self) -> bool:
        for end in ("\r\n", "\n", "\r"):
            if self.text.startswith(end, self.at):
                self.at += len(end)
                self.line += 1
                return True
        return False

    def value(self) -> str | None:
        if self.text.startswith('"', self.at):
            return self.quoted()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in self.separator + "\r\n":
            if self.text[self.at] == '"':
                raise Stray
            self.at += 1
        return self.text[start : self.at] or None

    def quoted(self) -> str:
        self.at += 1
        value = ""
        while True:
            start = self.at
            if self.line_end():
                value += self.text[start : self.at]
            elif self.text.startswith('""', self.at):
                value, self.at = value + '"', self.at + 2
            elif self.text.startswith('"', self.at):
                self.at += 1
                return value
            elif self.at == len(self.text):
                raise Stray
            else:
                value, self.at = value + self.text[self.at], self.at + 1
