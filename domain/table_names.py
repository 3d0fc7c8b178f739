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
    """A table's name in the catalog's spelling; without a schema, the table that the search path finds."""

    schema: str | None
    table: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a table's name; None if it breaks the `SYNTAX`."""
        if TABLE.fullmatch(text) is None:
            return None
        *schema, table = (_unquoted(part) for part in _PARTS.findall(text))
        if any(len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES for name in (*schema, table)):
            return None
        return cls(schema[0] if schema else None, table)

    def __str__(self) -> str:
        """Write the name so that `parse` can read it, quoted where needed."""
        return ".".join(_quoted(part) for part in (self.schema, self.table) if part is not None)


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quoted(part: str) -> str:
    return part if re.fullmatch(_PLAIN, part) else '"' + part.replace('"', '""') + '"'
