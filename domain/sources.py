"""Read the source of a record type: a file below the import root, or a table or query of a configured connection.

Only names are read here, and a spec can't carry more than names: no address, no SQL, no password. What a name leads to
on disk or in a database is checked again by whoever opens it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from domain.import_fields import MISPLACED_IN_SOURCE, SOURCE_FIELDS, SOURCE_HOMES
from domain.import_spec import FileSource, Source, SourceType, SqlSource, SuiteqlSource
from domain.notes import Action, Findings, Note, Part, cut, nearest
from domain.reading import read_choice, read_verbatim, refuse_misplaced, refuse_unknown
from domain.regions import Connection, Scope
from domain.table_names import SYNTAX, TABLE, TableName

MAX_PATH_LENGTH = 1_000
TOLD_TABLES = 20
"""Tables that the detail of an error names; all of them are in its `allowed`."""


def read_source(part: Part, scope: Scope) -> Source | None:
    """Return the source that an object names."""
    if not isinstance(part.value, dict):
        scope.findings.wrong_type(part.at, "an object with `type`")
        return None
    members = part.value
    source_type = read_choice(Part(members.get("type"), f"{part.at}/type"), SourceType, scope.findings)
    if source_type is None:
        return None
    refuse_misplaced(members, MISPLACED_IN_SOURCE, part.at, scope.findings)
    known = SOURCE_FIELDS[source_type]
    homes = {name: home for name, home in SOURCE_HOMES.items() if home.removeprefix("/") in known}
    refused = MISPLACED_IN_SOURCE.keys()
    refuse_unknown(members, known, part.at, scope.findings, homes=homes, root=part.at, refused=refused)
    match source_type:
        case SourceType.FILE:
            return _read_file(members, part.at, scope)
        case SourceType.SQL:
            return _read_sql(members, part.at, scope)
        case SourceType.SUITEQL:
            return _read_suiteql(members, part.at, scope)


def _read_file(members: Mapping[str, Any], at: str, scope: Scope) -> FileSource | None:
    if not scope.registry.has_import_root:
        detail = "No folder to import files from is configured: read from a connection, or ask the operator for one."
        scope.findings.error(at, "import_root_missing", detail)
    path = _read_path(members, at, scope.findings)
    return None if path is None else FileSource(path)


def _read_sql(members: Mapping[str, Any], at: str, scope: Scope) -> SqlSource | None:
    connection = _read_connection(members, at, SourceType.SQL, scope)
    table = _read_table(members, at, scope.findings)
    if connection is None or table is None:
        return None
    known = scope.registry.connections[connection]
    if not _is_listed(table, known):
        _refuse_unlisted(table, connection, f"{at}/table", known, scope.findings)
        return None
    if str(table) != members["table"]:
        note = Note(Action.CANONICALIZED, f"{at}/table", from_=cut(members["table"]), to=cut(str(table)))
        scope.findings.notes.append(note)
    return SqlSource(connection, str(table))


def _read_suiteql(members: Mapping[str, Any], at: str, scope: Scope) -> SuiteqlSource | None:
    connection = _read_connection(members, at, SourceType.SUITEQL, scope)
    query = _read_name(members, "query", at, scope.findings)
    if connection is None or query is None:
        return None
    allowed = scope.registry.connections[connection].queries
    if query in allowed:
        return SuiteqlSource(connection, query)
    _refuse_unknown(query, f"{at}/query", "query", sorted(allowed), scope.findings)
    return None


def _read_name(members: Mapping[str, Any], name: str, at: str, findings: Findings) -> str | None:
    """Return the text under `name`, whatever it says."""
    value = members.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        findings.error(f"{at}/{name}", "empty", f"Give the source's `{name}`.")
    else:
        findings.wrong_type(f"{at}/{name}", "a text")
    return None


def _read_path(members: Mapping[str, Any], at: str, findings: Findings) -> str | None:
    given = _read_name(members, "path", at, findings)
    path = None if given is None else read_verbatim(Part(given, f"{at}/path"), MAX_PATH_LENGTH, findings)
    problem = None if path is None else _path_problem(path)
    if problem is None:
        return path
    findings.error(f"{at}/path", *problem)
    return None


def _path_problem(path: str) -> tuple[str, str] | None:
    """Return the code and detail against a path that could lead out of a folder, or to anything but one file in it."""
    names = path.split("/")
    if not names[0] or ".." in names:
        return "path_outside_root", "Give a path below the import root: no `/` at its start, and no `..` in it."
    if "\\" in path:
        return "invalid_path", "Divide the names of a path by `/`; a backslash can't be in them."
    if "" in names or "." in names:
        return "invalid_path", "Write a path plainly: names divided by single `/`, with no `.` and no `/` at the end."
    if "*" in path or "?" in path:
        return "invalid_path", "Name one file; patterns with `*` or `?` aren't taken."
    return None


def _read_table(members: Mapping[str, Any], at: str, findings: Findings) -> TableName | None:
    given = _read_name(members, "table", at, findings)
    table = None if given is None else TableName.parse(given)
    if given is not None and table is None:
        findings.error(f"{at}/table", "invalid_name", SYNTAX, pattern=TABLE.pattern)
    return table


def _is_listed(table: TableName, connection: Connection) -> bool:
    """Say whether a connection may read a table; of one without a schema, whether it may be one that it reads.

    Which schema that is, the database says when the table is opened, and it is looked up in the list again.
    """
    if table.schema is None:
        return any(table.table == listed.table for listed in connection.tables)
    return table in connection.tables


def _refuse_unlisted(table: TableName, name: str, at: str, connection: Connection, findings: Findings) -> None:
    allowed = [str(listed) for listed in sorted(connection.tables, key=str)]
    wanted = str(table) if table.schema is not None else f"<schema>.{table}"
    guess = nearest(str(table), allowed)
    remedy = f", or give one of {', '.join(allowed[:TOLD_TABLES])}" if allowed else ", which lists none"
    detail = (
        f"Connection `{cut(name)}` may not read table `{cut(str(table))}`: ask the operator to add '{cut(wanted)}' to "
        f"`tables` of [connections.{cut(name)}]{remedy}."
    )
    findings.error(at, "unknown_table", detail, allowed=allowed, **({"nearest": guess} if guess else {}))


def _read_connection(members: Mapping[str, Any], at: str, source_type: SourceType, scope: Scope) -> str | None:
    """Return the name of a connection that such a source can read."""
    name = _read_name(members, "connection", at, scope.findings)
    if name is None:
        return None
    known = scope.registry.connections
    if name in known and known[name].type is source_type:
        return name
    allowed = sorted(other for other, connection in known.items() if connection.type is source_type)
    if name not in known:
        _refuse_unknown(name, f"{at}/connection", "connection", allowed, scope.findings)
        return None
    detail = f"Connection `{cut(name)}` is read by sources of type `{known[name].type}`, not `{source_type}`."
    scope.findings.error(f"{at}/connection", "wrong_connection", detail, allowed=allowed)
    return None


def _refuse_unknown(name: str, at: str, what: str, allowed: Collection[str], findings: Findings) -> None:
    remedy = f"give one of {', '.join(allowed)}" if allowed else "none is configured, so ask the operator for one"
    guess = nearest(name, allowed)
    detail = f"There is no {what} `{cut(name)}` for this type of source; {remedy}."
    findings.error(at, f"unknown_{what}", detail, allowed=allowed, **({"nearest": guess} if guess else {}))
