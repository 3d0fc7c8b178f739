"""Names of tables as specs and configurations give them: `table`, `schema.table`, or quoted as in SQL."""

import re
from dataclasses import dataclass
from typing import Self

_PLAIN = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_NAME = rf'(?:{_PLAIN}|"(?:[^"\x00]|"")+")'
TABLE = re.compile(rf"(?:{_NAME}\.)?{_NAME}")
SYNTAX = (
    "Name a table, or a schema and a table with a dot between, each of at most 63 bytes. What isn't letters, digits "
    'and `_` stands in double quotes, as in SQL: `public."a.b"`.'
)
MAX_NAME_BYTES = 63
_PARTS = re.compile(_NAME)


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table's name as the catalog has it, case and all; without a schema, whichever the search path leads to."""

    schema: str | None
    table: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what a text names; None if it isn't written as `SYNTAX` says."""
        if TABLE.fullmatch(text) is None:
            return None
        *schema, table = (_unquoted(part) for part in _PARTS.findall(text))
        if any(len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES for name in (*schema, table)):
            return None
        return cls(schema[0] if schema else None, table)

    def __str__(self) -> str:
        """Write the name so that it can be read again, in quotes where it needs them."""
        return ".".join(_quoted(part) for part in (self.schema, self.table) if part is not None)


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quoted(part: str) -> str:
    return part if re.fullmatch(_PLAIN, part) else '"' + part.replace('"', '""') + '"'
