"""The catalog of a PostgreSQL source. Only names of tables, columns, types and collations found here are used."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.table_names import SYNTAX, TableName
from sources.errors import SourceMissing, SourceRefused, echoed, refuse_unlisted
from sources.sql.session import Connection
from sources.sql.types import TYPES, Carried, carried_by_type
from sources.tables.order import BaseColumn, BaseTable

_TABLE = """
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    pg_catalog.has_table_privilege(c.oid, 'SELECT') AS is_readable,
    pg_catalog.row_security_active(c.oid) AS hides_rows,
    c.relkind IN ('v', 'f') AS runs_code
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND c.relname = $2
  AND CASE WHEN $1::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $1 END
"""
_COLUMNS = """
SELECT
    a.attname AS name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    a.atttypid AS type_oid,
    a.attcollation <> 0 AS is_collated
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
# One row per index that orders its columns as their types do, which a row comparison can scan.
_INDEXES = """
SELECT
    array_agg(a.attname::text ORDER BY k.place) AS columns,
    array_agg(
        -- null where the type has no collation
        pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname) ORDER BY k.place
    ) AS collations
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[], i.indoption::int2[])
    WITH ORDINALITY AS k (attnum, collation_oid, class_oid, options, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_catalog.pg_opclass AS o ON o.oid = k.class_oid
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = k.collation_oid
LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indnkeyatts, i.indisprimary, i.indisunique
HAVING count(*) = i.indnkeyatts AND bool_and(o.opcdefault) AND count(DISTINCT k.options) = 1
ORDER BY i.indisprimary DESC, i.indisunique DESC, i.indexrelid
"""
_COLLATIONS = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) AS name
FROM pg_catalog.pg_collation AS l
JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
WHERE pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) = ANY ($1::text[])
"""
BYTEWISE = 'pg_catalog."C"'
"""The collation of text where no index says otherwise: it needs no rules that a library could change."""


@dataclass(frozen=True, slots=True)
class Column(BaseColumn):
    """A column, which a statement names as `quoted`. `expression` gives its value, of the table as `t`."""

    quoted: str
    is_collated: bool
    expression: str


@dataclass(frozen=True, slots=True)
class Index:
    """An index by which a row comparison over its first columns can be scanned."""

    columns: tuple[str, ...]
    collations: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Table(BaseTable[Column, Index]):
    """A table or view, as it was looked up."""


async def find_table(connection: Connection, wanted: str, listed: Container[TableName]) -> Table:
    """Look up a table or view that is `listed`, by `schema.table`, or by `table` on the search path; case differs.

    Raises SourceForbidden for an unlisted table, SourceMissing if there is none (system tables don't count), and
    SourceRefused if the account may not read it, or not all of its rows.
    """
    name = TableName.parse(wanted)
    if name is None:
        raise SourceMissing(f"The connection has no table {echoed(wanted)}. {SYNTAX}")
    if name.schema is not None:
        refuse_unlisted(name, listed)
    found = await connection.fetchrow(_TABLE, name.schema, name.table)
    if found is None:
        raise SourceMissing(f"The connection has no table {echoed(wanted)}: name it as table or schema.table.")
    refuse_unlisted(TableName(found["schema"], found["name"]), listed)
    if not found["is_readable"]:
        raise SourceRefused(f"The account of the connection may not read {echoed(wanted)}: grant it SELECT.")
    if found["hides_rows"]:
        raise SourceRefused(
            f"Row-level security of {echoed(wanted)} hides rows from the connection's account: grant it BYPASSRLS, or "
            "import a view of the table's owner that selects the rows that are wanted."
        )
    oid = found["oid"]
    indexes = await connection.fetch(_INDEXES, oid)
    carried = carried_by_type(await connection.fetch(TYPES, oid))
    return Table(
        name=TableName(found["schema"], found["name"]),
        quoted=f"{quoted(found['schema'])}.{quoted(found['name'])}",
        runs_code=found["runs_code"],
        columns=tuple(_column(row, carried) for row in await connection.fetch(_COLUMNS, oid)),
        indexes=tuple(Index(tuple(index["columns"]), tuple(index["collations"])) for index in indexes),
    )


async def existing_collations(connection: Connection, names: Sequence[str | None]) -> set[str]:
    """Return those of the quoted names that are collations here."""
    found = await connection.fetch(_COLLATIONS, [name for name in names if name])
    return {row["name"] for row in found}


def quoted(name: str) -> str:
    """Return any name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def _column(row: Any, carried: Mapping[int, Carried]) -> Column:
    name = quoted(row["name"])
    how = carried[row["type_oid"]]
    return Column(
        name=row["name"],
        type=row["type"],
        convert=how.convert,
        key_form=how.key_form,
        convert_key=how.convert_key or how.convert,
        quoted=name,
        is_collated=row["is_collated"],
        expression=how.template.format(f"t.{name}"),
    )
