"""The catalog of a MySQL source. Only names of tables, columns and collations found here are ever used."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from domain.table_names import SYNTAX, TableName
from sources.errors import SourceMissing, echoed, refuse_unlisted
from sources.mysql.connection import Lent
from sources.mysql.session import Row
from sources.mysql.types import Part, carried
from sources.tables.order import BaseColumn, BaseTable

SYSTEM_DATABASES = {"mysql", "information_schema", "performance_schema", "sys"}
_READ_TYPES = {"BASE TABLE", "VIEW", "SYSTEM VERSIONED"}
_TABLE = """
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema = {database} AND table_name = {table}
"""
_COLUMNS = """
SELECT column_name, data_type, column_type, character_set_name, collation_name, is_nullable, extra
FROM information_schema.columns
WHERE table_schema = {database} AND table_name = {table}
ORDER BY ordinal_position
"""
_INDEXES = """
SELECT index_name, column_name, collation, sub_part, index_type FROM information_schema.statistics
WHERE table_schema = {database} AND table_name = {table}
ORDER BY index_name <> 'PRIMARY', non_unique, index_name, seq_in_index
"""
# A column that is declared as JSON is a text with such a constraint there.
_MARIADB_CHECKS = """
SELECT check_clause FROM information_schema.check_constraints
WHERE constraint_schema = {database} AND table_name = {table}
"""


@dataclass(frozen=True, slots=True)
class Column(BaseColumn):
    """A column. `type` has the collation of text too. `template` makes an expression of its term.

    Without `part` it can't be a part of a key.
    """

    is_nullable: bool
    template: str
    part: Part | None

    @property
    def term(self) -> str:
        """The column as it stands in a statement, of the table as `t`."""
        return f"t.{quoted(self.name)}"


Index: TypeAlias = tuple[str, ...]
"""Its columns."""


@dataclass(frozen=True, slots=True)
class Table(BaseTable[Column, Index]):
    """A table or view, as it was looked up."""


async def find_table(session: Lent, wanted: str, listed: Container[TableName], database: str | None) -> Table:
    """Look up a table or view that is `listed`, by `database.table`, or by `table` in the URL's database; case differs.

    Raises SourceForbidden for an unlisted table, SourceMissing if there is none (system tables don't count, nor do
    tables that the account may not see), and SourceRefused where it may not read all of its columns.
    """
    given = TableName.parse(wanted)
    if given is None:
        raise SourceMissing(f"The connection has no table {echoed(wanted)}. {SYNTAX}")
    name = TableName(given.schema or database, given.table)
    if name.schema is None:
        raise SourceMissing(f"The connection's URL names no database: name the table as database.{wanted[:100]}.")
    refuse_unlisted(name, listed)
    where = {"database": literal(name.schema), "table": literal(name.table)}
    found = [row for row in await session.fetch(_TABLE.format(**where)) if _is(row, name)]
    if not found or name.schema.lower() in SYSTEM_DATABASES:
        raise SourceMissing(f"The connection has no table {echoed(wanted)}, or its account may not read it.")
    columns = await session.fetch(_COLUMNS.format(**where))
    checks = await session.fetch(_MARIADB_CHECKS.format(**where)) if session.session.is_mariadb else ()
    # Where the account may not read all columns, the catalog shows the others alone; this is an error then.
    named = f"{quoted(name.schema)}.{quoted(name.table)}"
    await session.fetch(f"SELECT * FROM {named} LIMIT 0")
    return Table(
        name=name,
        quoted=named,
        runs_code=found[0][2] == b"VIEW",
        columns=tuple(_columns(columns, {clause.decode() for (clause,) in checks})),
        indexes=tuple(_indexes(await session.fetch(_INDEXES.format(**where)))),
    )


def literal(text: str) -> str:
    """Return any text as a literal of a statement."""
    return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"


def quoted(name: str) -> str:
    """Return any name as a quoted identifier."""
    return "`" + name.replace("`", "``") + "`"


def _is(row: Row, name: TableName) -> bool:
    schema, table, kind = (value.decode() for value in row)
    return (schema, table) == (name.schema, name.table) and kind in _READ_TYPES


def _columns(rows: Iterable[Row], checks: Container[str]) -> Iterable[Column]:
    """Yield the columns that `SELECT *` gives."""
    for row in rows:
        name, data_type, column_type, charset, collation, nullable, extra = (
            None if value is None else value.decode() for value in row
        )
        if name is None or data_type is None or column_type is None or "INVISIBLE" in (extra or ""):
            continue
        is_json = data_type == "longtext" and f"json_valid({quoted(name)})" in checks
        how = carried(data_type.lower(), column_type, charset, collation, is_json=is_json)
        yield Column(
            name=name,
            type=f"{column_type} {collation or ''}".rstrip(),
            convert=how.convert,
            key_form=how.key_form,
            convert_key=how.convert_key or how.convert,
            is_nullable=nullable == "YES",
            template=how.template,
            part=how.part,
        )


def _indexes(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    for _, parts in groupby(rows, lambda row: row[0]):
        columns = list(parts)
        directions = {direction for _, _, direction, _, _ in columns}
        if len(directions) == 1 and all(
            name is not None and sub_part is None and kind == b"BTREE" for _, name, _, sub_part, kind in columns
        ):
            yield tuple(name.decode() for _, name, *_ in columns)
