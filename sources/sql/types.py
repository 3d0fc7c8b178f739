"""How values of PostgreSQL's types travel, and how they become JSON: alike in a column and inside other values."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from domain.key_forms import KeyForm
from sources.keys import Padded
from sources.sql.text import Convert, array_from, composite_from
from sources.values import CONVERT, Kind, to_digits, to_number

TYPES = """
WITH RECURSIVE reached (oid) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT inner_type.oid
    FROM reached AS r
    JOIN pg_catalog.pg_type AS t ON t.oid = r.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT t.typelem WHERE t.typtype <> 'd' AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc
        UNION ALL
        SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS inner_type (oid)
)
SELECT
    t.oid,
    CASE WHEN t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace THEN t.typname END AS built_in,
    CASE WHEN t.typtype = 'd' THEN t.typbasetype END AS base,
    element.oid AS element,
    element.typdelim::text AS delimiter,
    CASE WHEN t.typtype = 'c' THEN ARRAY(
        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) END AS names,
    ARRAY(
        SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS types
FROM reached AS r
JOIN pg_catalog.pg_type AS t ON t.oid = r.oid
LEFT JOIN pg_catalog.pg_type AS element
    ON element.oid = t.typelem AND t.typtype <> 'd' AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc
"""
"""Every type that a relation's columns are made of: bases of domains, elements of arrays, attributes of composites."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How a column's values are read: `template` makes an expression of a name, `convert` JSON of its value.

    Without `convert` that is JSON already. As parts of a key they may be spelled as `key_form` says, and `convert_key`
    converts them so that the key knows; for others that would be 0.2 us a value (2026-11-30).
    """

    template: str
    convert: Convert | None = None
    key_form: KeyForm = KeyForm.EXACT
    convert_key: Convert | None = None


def carried_by_type(rows: Sequence[Any]) -> Mapping[int, Carried]:
    """Return how values of each of these types, rows of `TYPES`, travel as columns."""
    row_by_oid = {row["oid"]: row for row in rows}
    return {oid: _carried(row_by_oid, oid) for oid in row_by_oid}


def _carried(rows: Mapping[int, Any], oid: int) -> Carried:
    row = rows[_base(rows, oid)]
    return _COLUMNS.get(row["built_in"]) or Carried(_AS_TEXT, _from_text(rows, oid))


def _base(rows: Mapping[int, Any], oid: int) -> int:
    while rows[oid]["base"] is not None:
        oid = rows[oid]["base"]
    return oid


def _from_text(rows: Mapping[int, Any], oid: int) -> Convert:
    """Return the conversion of a type's own text, as in arrays and composites, to a JSON value."""
    row = rows[_base(rows, oid)]
    if row["element"] is not None:
        return partial(array_from, element=_from_text(rows, row["element"]), delimiter=row["delimiter"])
    if row["names"] is not None:
        converts = [_from_text(rows, attribute) for attribute in row["types"]]
        return partial(composite_from, attributes=dict(zip(row["names"], converts, strict=True)))
    return _FROM_TEXT.get(row["built_in"], str)


def _float(text: str) -> Any:
    return CONVERT[Kind.FLOAT](float(text))


def _base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text.removeprefix("\\x"))).decode()


def _with_mask(text: str) -> str:
    """Return an address as `::text` gives it, which always has a mask."""
    if "/" in text:
        return text
    return f"{text}/128" if ":" in text else f"{text}/32"


_AS_TEXT = "CASE WHEN {0} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {0}) END"
"""The text of the type's output function: a cast to text may be user-defined. A composite of nulls IS NULL, too."""
_COLUMNS: Mapping[str | None, Carried] = {
    **dict.fromkeys(["int2", "int4", "int8", "bool", "text", "varchar"], Carried("{0}")),
    "bpchar": Carried("{0}", None, KeyForm.PADDED, Padded),
    "float8": Carried("{0}", CONVERT[Kind.FLOAT], KeyForm.FLOAT),
    # By its shortest digits, not by those of the double that holds it.
    "float4": Carried("{0}::text::float8", CONVERT[Kind.FLOAT], KeyForm.FLOAT),
    "numeric": Carried("{0}::text", to_number, KeyForm.DIGITS, to_digits),
    # As text, since Python's types hold less: no infinity, no years before 1.
    **dict.fromkeys(["date", "time", "timetz", "timestamp", "timestamptz"], Carried("{0}::text", CONVERT[Kind.MOMENT])),
    **dict.fromkeys(["json", "jsonb"], Carried("{0}::text", CONVERT[Kind.JSON])),
    "bytea": Carried("{0}", CONVERT[Kind.NESTED]),
    **dict.fromkeys(["inet", "cidr"], Carried("{0}::text")),
}
"""How columns of built-in types travel; those of all others as the text that the type's output function writes."""
_FROM_TEXT: Mapping[str | None, Convert] = {
    "bool": lambda text: text == "t",
    **dict.fromkeys(["int2", "int4", "int8"], int),
    "bpchar": Padded,
    **dict.fromkeys(["float4", "float8"], _float),
    "numeric": to_digits,
    **dict.fromkeys(["date", "time", "timetz", "timestamp", "timestamptz"], CONVERT[Kind.MOMENT]),
    **dict.fromkeys(["json", "jsonb"], CONVERT[Kind.JSON]),
    "bytea": _base64,
    **dict.fromkeys(["inet", "cidr"], _with_mask),
}
"""The conversions of built-in types' own texts to the values of such columns; other types stay text."""
