"""Sources: paths that can't lead out of the import root, and names that the registry has."""

import pytest

from domain.sources.file import FileSource
from domain.sources.sql import SqlSource
from domain.sources.suiteql import SuiteqlSource
from tests.domain.bodies import errors_of, file_type, importing, read, refusals

AT = "/record_types/0/source"


def with_source(**source):
    return importing(file_type("a", source=source))


def source_of(**source):
    return read(with_source(**source)).spec.record_types[0].source


@pytest.mark.parametrize(
    "path",
    [
        "a.csv",
        "erp/2024/a.jsonl.gz",
        "Kunden Ä (1).csv",
        "..a/b..csv",
        "...",
        ".hidden",
        "a:b",
        "~a",
        "%2e%2e/a",
        "-a",
        "a[1].csv",
    ],
)
def test_a_path_below_the_root_is_kept_as_it_came(path):
    assert source_of(type="file", path=path) == FileSource(path)


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "//a", "..", "../a", "a/..", "a/../b", "a/b/../../../c", "/../a"])
def test_a_path_that_could_leave_the_root_is_refused(path):
    assert refusals(with_source(type="file", path=path)) == [(f"{AT}/path", "path_outside_root")]


@pytest.mark.parametrize(
    "path",
    [
        *("a\\b", "..\\a", "\\\\host\\share", "C:\\a", ".", "./a", "a/./b", "a//b", "a/", "https://x/a", "s3://b/a"),
        *("*.csv", "a?.csv", "a/**/b"),
    ],
)
def test_a_path_that_is_not_plainly_one_file_is_refused(path):
    assert refusals(with_source(type="file", path=path)) == [(f"{AT}/path", "invalid_path")]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (None, "empty"),
        ("", "empty"),
        (" ", "empty"),
        (1, "wrong_type"),
        (["a"], "wrong_type"),
        ("x" * 1001, "too_long"),
        ("a\nb", "invalid_character"),
        ("a\u2028b", "invalid_character"),
        ("a\x1bb", "invalid_character"),
    ],
)
def test_a_wrong_path_is_refused(path, code):
    assert refusals(with_source(type="file", path=path)) == [(f"{AT}/path", code)]


def test_a_path_with_a_nul_is_refused_before_anything_else():
    assert refusals(with_source(type="file", path="a\0.csv")) == [(f"{AT}/path", "invalid_character")]


@pytest.mark.parametrize("table", ["transaction", "public.transaction", "_x", "T1", "a" * 63, f"{'a' * 63}.{'b' * 63}"])
def test_a_table_is_kept_as_it_came(table):
    assert source_of(type="sql", connection="erp", table=table) == SqlSource("erp", table)


@pytest.mark.parametrize(
    "table",
    [
        "",
        "1a",
        "a b",
        "a.b.c",
        ".a",
        "a.",
        "a-b",
        '"a',
        'a"',
        '""',
        '"a".',
        '"a"b',
        '"a""',
        'a."b".c',
        '"a"."b"."c"',
        '"a" . b',
        "a;",
        "a'",
        "a\n",
        "täble",
        "a" * 64,
        "a$b",
        "a--",
        f'"{"a" * 64}"',
        f'public."{"é" * 32}"',
        "(select 1)",
    ],
)
def test_a_table_that_is_neither_a_plain_name_nor_quoted_as_in_sql_is_refused(table):
    (error,) = errors_of(with_source(type="sql", connection="erp", table=table))
    assert (error.pointer, error.code) == (f"{AT}/table", "invalid_name")
    assert error.extra["pattern"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('"a"', "a"),
        ('"public"."a"', "public.a"),
        ('public."a.b"', 'public."a.b"'),
        ('"public"."a.b"', 'public."a.b"'),
        ("a.b", "a.b"),
        ('"S x"."T"""', '"S x"."T"""'),
        ('"T"""', '"T"""'),
    ],
)
def test_a_quoted_table_is_the_one_that_sql_means(given, kept):
    assert source_of(type="sql", connection="erp", table=given) == SqlSource("erp", kept)


def test_two_spellings_of_a_table_ask_for_the_same_and_the_note_says_which_is_kept():
    plain, quoted = (read(with_source(type="sql", connection="erp", table=table)) for table in ("a.b", '"a"."b"'))
    assert plain.spec_hash == quoted.spec_hash
    (note,) = set(quoted.notes) - set(plain.notes)
    assert (note.path, note.from_, note.to) == (f"{AT}/table", '"a"."b"', "a.b")


@pytest.mark.parametrize(
    ("connection", "table", "wanted"),
    [
        ("erp", "public.salary", "public.salary"),
        ("erp", "salary", "<schema>.salary"),
        ("erp", "b.a", "b.a"),
        ("erp", '"a.b".c', '"a.b".c'),
        ("erp", "PUBLIC.a", "PUBLIC.a"),
        ("erp_archive", "public.a", "public.a"),
    ],
)
def test_a_table_that_the_configuration_does_not_list_is_refused_with_the_remedy(connection, table, wanted):
    (error,) = errors_of(with_source(type="sql", connection=connection, table=table))
    assert (error.pointer, error.code) == (f"{AT}/table", "unknown_table")
    assert f"add '{wanted}' to `tables` of [connections.{connection}]" in error.detail
    assert bool(error.extra["allowed"]) == (connection == "erp")


def test_a_named_query_of_a_connection_is_taken():
    assert source_of(type="suiteql", connection="netsuite", query="transaction") == SuiteqlSource(
        "netsuite", "transaction"
    )


@pytest.mark.parametrize("name", ["query", "path", "file", "users", "passwort"])
def test_a_field_of_other_sources_is_refused_with_those_that_this_one_takes(name):
    (error,) = errors_of(with_source(type="sql", connection="erp", table="a", **{name: "x"}))
    assert (error.pointer, error.code) == (f"{AT}/{name}", "unknown_field")
    assert error.extra == {"allowed": ["connection", "table", "type"]}


def test_an_unknown_connection_is_refused_with_those_of_its_type():
    (error,) = errors_of(with_source(type="sql", connection="epr", table="a"))
    assert (error.pointer, error.code, error.extra["allowed"], error.extra["nearest"]) == (
        f"{AT}/connection",
        "unknown_connection",
        ["erp", "erp_archive"],
        "erp",
    )


def test_a_connection_of_another_type_is_refused_with_those_of_this_one():
    (error,) = errors_of(with_source(type="suiteql", connection="erp", query="transaction"))
    assert (error.pointer, error.code, error.extra["allowed"]) == (f"{AT}/connection", "wrong_connection", ["netsuite"])


def test_an_unknown_query_is_refused_with_those_of_its_connection():
    (error,) = errors_of(with_source(type="suiteql", connection="netsuite", query="SELECT 1"))
    assert (error.pointer, error.code, error.extra["allowed"]) == (
        f"{AT}/query",
        "unknown_query",
        ["transaction", "transactionline"],
    )


@pytest.mark.parametrize("source", [1, "a.csv", [], True])
def test_a_source_must_be_an_object(source):
    assert refusals(importing(file_type("a", source=source))) == [(AT, "wrong_type")]


@pytest.mark.parametrize("source_type", [None, "csv", 1, ["file"], "FILE", ""])
def test_an_unknown_type_is_answered_with_the_known_ones(source_type):
    (error,) = errors_of(with_source(type=source_type, path="a.csv"))
    assert (error.pointer, error.code, error.extra["allowed"]) == (
        f"{AT}/type",
        "unknown_choice",
        ["file", "sql", "suiteql", "sqlite", "mysql"],
    )


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ({"type": "sql"}, ["connection", "table"]),
        ({"type": "suiteql"}, ["connection", "query"]),
        ({"type": "sql", "connection": None, "table": None}, ["connection", "table"]),
        ({"type": "file"}, ["path"]),
        ({"type": "sqlite"}, ["path", "table"]),
        ({"type": "mysql"}, ["connection", "table"]),
    ],
)
def test_every_missing_name_is_reported(source, missing):
    assert refusals(with_source(**source)) == [(f"{AT}/{name}", "empty") for name in missing]


@pytest.mark.parametrize("name", ["connection", "query"])
@pytest.mark.parametrize("value", [1, [], {}, True])
def test_a_name_must_be_a_text(name, value):
    source = {"type": "suiteql", "connection": "netsuite", "query": "transaction", name: value}
    assert refusals(with_source(**source)) == [(f"{AT}/{name}", "wrong_type")]


@pytest.mark.parametrize("name", ["url", "dsn", "sql", "password", "user", "host", "token"])
def test_an_address_a_password_or_sql_in_a_source_is_refused_with_the_remedy(name):
    (error,) = errors_of(with_source(type="sql", connection="erp", table="a", **{name: "x"}))
    assert (error.pointer, error.code) == (f"{AT}/{name}", "misplaced_field")
    assert "name a `connection`" in error.detail


@pytest.mark.parametrize(
    ("source", "unknown"),
    [
        ({"type": "file", "path": "a.csv", "table": "a"}, "table"),
        ({"type": "sqlite", "path": "a.db", "table": "a", "connection": "erp"}, "connection"),
        ({"type": "sql", "connection": "erp", "table": "a", "path": "a"}, "path"),
        ({"type": "sql", "connection": "erp", "table": "a", "query": "a"}, "query"),
        ({"type": "suiteql", "connection": "netsuite", "query": "transaction", "table": "a"}, "table"),
    ],
)
def test_a_field_of_another_type_is_unknown(source, unknown):
    assert refusals(with_source(**source)) == [(f"{AT}/{unknown}", "unknown_field")]
