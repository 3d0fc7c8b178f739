"""Values of PostgreSQL in a payload: as docs/reference/sources/sql.md says, and as the server itself writes them."""

import json
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.sql.source import SqlSource
from tests.support.reading_sources import read_all

EXAMPLE = re.compile(r"^\| `([^`|]+)` \| `([^`]+)` \| (?:`([^`]+)`|(reject))", re.MULTILINE)
EXAMPLES = EXAMPLE.findall(
    (Path(__file__).parents[2] / "docs" / "reference" / "sources" / "sql.md").read_text().split("\n## Values")[1]
)
AS_TEXT = {
    "aclitem": "makeaclitem(10, 10, 'SELECT', true)",
    "bit varying": "B'0110'",
    "box": "'(1,1),(0,0)'",
    '"char"': "'x'",
    "cid": "'7'",
    "cidr": "'10.1/16'",
    "circle": "'<(0.1,2),3>'",
    "daterange": "'[2024-01-01,infinity)'",
    "datemultirange": "'{[2024-01-01,2024-02-01)}'",
    "int4multirange": "'{[1,2),[5,7)}'",
    "int8multirange": "'{[1,2)}'",
    "int8range": "'(,7)'",
    "int2vector": "'1 2 3'",
    "oidvector": "'1 2'",
    "jsonpath": "'$.a[*] ? (@ > 1)'",
    "line": "'{1,-1,0.3}'",
    "lseg": "'[(0,0),(1,1)]'",
    "macaddr": "'08-00-2b-01-02-03'",
    "macaddr8": "'08002b0102030405'",
    "name": "'a name'",
    "numrange": "'(1.50,2.50]'",
    "oid": "4294967295",
    "path": "'((0,0),(1,1))'",
    "pg_lsn": "'16/B374D848'",
    "pg_snapshot": "'10:20:10,14'",
    "txid_snapshot": "'10:20:10,14'",
    "polygon": "'((0,0),(1,0),(1,1))'",
    "refcursor": "'a cursor'",
    "regclass": "'pg_class'",
    "regcollation": "'\"C\"'",
    "regconfig": "'simple'",
    "regdictionary": "'simple'",
    "regnamespace": "'pg_catalog'",
    "regoper": "'pg_catalog.||/'",
    "regoperator": "'+(int4,int4)'",
    "regproc": "'array_out'",
    "regprocedure": "'lower(text)'",
    "regrole": "'pg_monitor'",
    "regtype": "'timestamptz'",
    "tid": "'(1,2)'",
    "tsquery": "'a & !b'",
    "tsvector": "'a:1A b:2'",
    "tsmultirange": "'{[2024-01-01,2024-02-01)}'",
    "tstzmultirange": "'{[2024-01-01 02:00+02,2024-02-01)}'",
    "tstzrange": "'[2024-01-01 02:00+02,]'",
    "varbit": "B''",
    "xid": "'4294967295'",
    "xid8": "'18446744073709551615'",
}
"""Built-in types of which the server's own text is the value, each with an example."""
NO_VALUES = {
    "gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies", "pg_mcv_list",
    "pg_ndistinct", "pg_node_tree", "xml",
}  # fmt: skip
"""Types whose input function refuses everything; that of xml does in the wheel's engine."""


async def read_values(database, connection, *expressions):
    """Make a table of one row of these values, of which the first is `v`; return the row as it is read."""
    columns = ", ".join(f"{expression} AS v{number or ''}" for number, expression in enumerate(expressions))
    await database.execute(
        f"DROP TABLE IF EXISTS public.one_row; CREATE TABLE public.one_row AS SELECT 1 AS id, {columns}"
    )
    source = SqlSource(connection, "one_row")
    (row,) = await read_all(source, await source.ranges(["id"], 5))
    return row


async def own_text(database, query):
    """What the server writes of the one value of a query in a COPY."""
    written = bytearray()

    async def write(chunk):
        written.extend(chunk)

    await database.copy_from_query(query, output=write, format="csv")
    return written.decode().removesuffix("\n").removeprefix('"').removesuffix('"').replace('""', '"')


async def test_the_examples_of_the_docs_are_read_as_documented(database, connection):
    await database.execute(
        "CREATE SCHEMA example; CREATE TYPE example.item AS (price numeric, code bytea, days date[])"
    )
    await database.execute("SET lc_monetary = 'C'")
    assert len(EXAMPLES) > 35
    good = [(f"CAST({expression} AS {type_})", payload) for type_, expression, payload, _ in EXAMPLES if payload]
    row = await read_values(database, connection, *(expression for expression, _ in good))
    assert row.defect is None
    for value, (expression, payload) in zip(list(row.payload.values())[1:], good, strict=True):
        assert json.dumps(value) == json.dumps(json.loads(payload)), expression
    for type_, expression, *_ in (example for example in EXAMPLES if example[3]):
        row = await read_values(database, connection, f"CAST({expression} AS {type_})")
        assert row.defect is not None, expression
        assert row.defect.startswith("v "), row.defect


async def test_each_built_in_type_is_read_as_listed_or_as_the_server_writes_it(database, connection):
    values = [f"CAST({expression} AS {type_})" for type_, expression in AS_TEXT.items()]
    row = await read_values(database, connection, *values, *(f"ARRAY[{value}, NULL]" for value in values))
    read = list(row.payload.values())[1:]
    for number, type_ in enumerate(AS_TEXT):
        text = await own_text(database, f"SELECT v{number or ''} FROM one_row")
        assert read[number] == text, type_
        assert read[number + len(AS_TEXT)] == [text, None], type_
    there_are = await database.fetch(
        """
        SELECT oid, typname FROM pg_type
        WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
        """
    )
    tried = {
        await database.fetchval(f"SELECT '{type_}'::regtype::oid")
        for type_ in [
            "smallint",
            "integer",
            "varchar",
            *AS_TEXT,
            *(example for example, *_ in EXAMPLES if example[:7] != "example"),
        ]
    }
    assert {row["typname"] for row in there_are if row["oid"] not in tried} == NO_VALUES


async def test_values_inside_a_composite_or_an_array_are_converted_as_in_columns(database, connection):
    await database.execute("CREATE TYPE money2 AS (amt numeric(30, 4), cnt numeric, bin bytea, fl float8)")
    row = await read_values(database, connection, r"ROW(12345678901234567890.1234, 1.10, '\x00ff', 0.1)::money2")
    assert row.payload["v"] == {"amt": "12345678901234567890.1234", "cnt": "1.10", "bin": "AP8=", "fl": 0.1}
    for nan in ("ROW(1, 1, NULL, 'NaN')::money2", "ARRAY[ROW(1, 'Infinity', NULL, 1)::money2]"):
        row = await read_values(database, connection, nan)
        assert row.payload == {"id": 1}
        assert re.fullmatch(r'v in its attribute "(fl|cnt)" is (nan|Infinity), which JSON has no word for', row.defect)


async def test_a_type_with_the_name_of_a_built_in_type_is_read_as_itself(database, connection):
    await database.execute(
        """
        CREATE SCHEMA mine; CREATE TYPE mine.json AS ENUM ('{'); CREATE TYPE mine.int4 AS (a int);
        CREATE DOMAIN first AS numeric; CREATE DOMAIN "numeric" AS first; CREATE DOMAIN many AS "numeric"[];
        CREATE DOMAIN again AS many; CREATE TYPE holds AS (a again, "B ""c"" d" mine.int4[], d mine.json);
        """
    )
    row = await read_values(
        database, connection, "ROW('{1.0,2}', ARRAY[ROW(7), ROW(NULL), NULL]::mine.int4[], '{')::holds"
    )
    assert row.payload["v"] == {"a": ["1.0", "2"], 'B "c" d': [{"a": 7}, {"a": None}, None], "d": "{"}
    row = await read_values(database, connection, """'NaN'::public."numeric" """)
    assert row.defect == "v is NaN, which JSON has no word for"


async def test_a_users_own_cast_to_text_changes_nothing(database, connection):
    await database.execute(
        """
        CREATE TYPE pair AS (a int, b text);
        CREATE FUNCTION shown(pair) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'nothing' $$;
        CREATE CAST (pair AS text) WITH FUNCTION shown(pair);
        """
    )
    row = await read_values(database, connection, "ROW(1, '(,)')::pair")
    assert row.payload["v"] == {"a": 1, "b": "(,)"}
    row = await read_values(database, connection, "ROW(NULL, NULL)::pair")  # which IS NULL, and isn't null
    assert row.payload["v"] == {"a": None, "b": None}
    row = await read_values(database, connection, "NULL::pair")
    assert row.payload["v"] is None


async def test_composites_of_no_attribute_and_of_a_tables_rows_are_read(database, connection):
    await database.execute(
        """
        CREATE TYPE nothing AS (); CREATE TYPE single AS (a int);
        CREATE TABLE thing (gone int, id int, tags text[]); INSERT INTO thing VALUES (1, 2, '{}'), (1, NULL, NULL);
        ALTER TABLE thing DROP gone;
        """
    )
    for expression, expected in (
        ("ROW()::nothing", {}),
        ("ROW(NULL)::single", {"a": None}),
        ("ARRAY(SELECT thing FROM thing)", [{"id": 2, "tags": []}, {"id": None, "tags": None}]),
    ):
        row = await read_values(database, connection, expression)
        assert row.payload["v"] == expected


LEAFS = {
    "integer": [("7", 7), ("'-2147483648'", -(2**31))],
    "boolean": [("true", True), ("false", False)],
    "numeric": [("1.10", "1.10"), ("12345678901234567890123.4", "12345678901234567890123.4"), ("-0.00", "0.00")],
    "double precision": [("0.1", 0.1), ("'-1e-300'", -1e-300)],
    "real": [("16777217", 16777216.0), ("0.3", 0.3)],
    "bytea": [(r"'\x5c22'", "XCI="), (r"'\x'", "")],
    "text": [
        ("''", ""), ("' '", " "), ("'NULL'", "NULL"), ("'null'", "null"),
        ("'{a,\"b\"}'", '{a,"b"}'), ("'(\\,)'", "(\\,)"),
        ("E'a\\nb\\t\"\"'", 'a\nb\t""'), ("'é;[0:1]={'", "é;[0:1]={"), ("E'\\\\\\\\\"'", '\\\\"'),
    ],
    "timestamptz": [("'2024-02-29 01:02:03.5+02'", "2024-02-28T23:02:03.5+00:00")],
    "date": [("'2024-02-29'", "2024-02-29")],
    "jsonb": [("""'{"a": ["x,\\"y", 1]}'""", {"a": ['x,"y', 1]}), ("'null'", None)],
    "box": [("'(1,1),(0,0)'", "(1,1),(0,0)")],
    "tsrange": [("'[2024-01-01,2024-02-01)'", '["2024-01-01 00:00:00","2024-02-01 00:00:00")')],
    "char(3)": [("'a'", "a  ")],
    "inet": [("'::1'", "::1/128")],
}  # fmt: skip
"""Values of each type: how SQL writes them, and what they become."""


@st.composite
def nested(draw, depth=3, new="made"):
    """Return a type's name, the statements that create it, and a strategy of (expression, expected) for its values."""
    shape = draw(st.sampled_from(["leaf", "array", "composite", "domain"])) if depth else "leaf"
    if shape == "leaf":
        name = draw(st.sampled_from(sorted(LEAFS)))
        return name, [], st.sampled_from([(f"{sql}::{name}", expected) for sql, expected in LEAFS[name]])
    if shape == "array":
        name, made, values = draw(nested(depth - 1, new).filter(lambda drawn: not drawn[0].endswith("[]")))
        width = draw(st.integers(1, 2))
        rows = st.lists(st.lists(values | st.just((f"NULL::{name}", None)), min_size=width, max_size=width), max_size=2)
        is_deep = draw(st.booleans())
        return f"{name}[]", made, rows.map(lambda lists: _array(name, lists, is_deep=is_deep))
    if shape == "domain":
        name, made, values = draw(nested(depth - 1, f"{new}_0"))
        return (
            new,
            [*made, f"CREATE DOMAIN {new} AS {name}"],
            values.map(lambda drawn: (f"{drawn[0]}::{new}", drawn[1])),
        )
    parts = [draw(nested(depth - 1, f"{new}_{number}")) for number in range(draw(st.integers(1, 3)))]
    names = [f'a{number} "x", ' for number in range(len(parts))]
    listed = ", ".join('"' + n.replace('"', '""') + f'" {part[0]}' for n, part in zip(names, parts, strict=True))
    made = [statement for part in parts for statement in part[1]] + [f"CREATE TYPE {new} AS ({listed})"]
    values = st.tuples(*(part[2] | st.just((f"NULL::{part[0]}", None)) for part in parts))
    return (
        new,
        made,
        values.map(
            lambda row: (
                f"ROW({', '.join(sql for sql, _ in row)})::{new}",
                {name: expected for name, (_, expected) in zip(names, row, strict=True)},
            )
        ),
    )


def _array(name, lists, *, is_deep):
    if is_deep and lists:
        inner = ", ".join(f"ARRAY[{', '.join(sql for sql, _ in row)}]" for row in lists)
        return f"ARRAY[{inner}]::{name}[]", [[expected for _, expected in row] for row in lists]
    flat = [value for row in lists for value in row]
    return f"ARRAY[{', '.join(sql for sql, _ in flat)}]::{name}[]", [expected for _, expected in flat]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_nested_values_of_any_depth_hold_their_leaves(database, connection, data):
    name, made, values = data.draw(nested())
    expression, expected = data.draw(values)
    anew = "DROP SCHEMA IF EXISTS made CASCADE; CREATE SCHEMA made; SET search_path = made, public"
    await database.execute("; ".join([anew, *made]))
    row = await read_values(database, connection, f"CAST({expression} AS {name})")
    assert row.defect is None
    assert row.payload["v"] == expected
