"""Reading the names that several source types share: paths, connections, listed tables."""

from collections.abc import Collection, Mapping
from typing import Any

from domain.notes import Action, Findings, Note, Part, cut, nearest
from domain.reading import read_verbatim
from domain.registry import Connection
from domain.scope import Scope
from domain.table_names import SYNTAX, TABLE, TableName

MAX_PATH_LENGTH = 1_000
NAMED_TABLES = 20
"""Tables that an error names in its detail; its `allowed` has all of them."""
PATH_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_PATH_LENGTH,
    "description": "Below the import root: relative, without `..`, names divided by `/`.",
}
TABLE_SCHEMA = {
    "type": "string",
    "pattern": f"^{TABLE.pattern}$",
    "description": "One of the connection's listed tables or views; may name its schema. What isn't letters, digits "
    "and `_` stands in double quotes.",
}


def read_name(members: Mapping[str, Any], name: str, at: str, findings: Findings) -> str | None:
    """Return the text under `name`, unchecked."""
    value = members.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        findings.error(f"{at}/{name}", "empty", f"Give the source's `{name}`.")
    else:
        findings.wrong_type(f"{at}/{name}", "a text")
    return None


def read_path(members: Mapping[str, Any], at: str, scope: Scope) -> str | None:
    """Return the path of a file below the import root."""
    if not scope.registry.has_import_root:
        detail = "No folder to import files from is configured: read from a connection, or ask the operator for one."
        scope.findings.error(at, "import_root_missing", detail)
    given = read_name(members, "path", at, scope.findings)
    path = None if given is None else read_verbatim(Part(given, f"{at}/path"), MAX_PATH_LENGTH, scope.findings)
    problem = None if path is None else _path_problem(path)
    if problem is None:
        return path
    scope.findings.error(f"{at}/path", *problem)
    return None


def _path_problem(path: str) -> tuple[str, str] | None:
    """Return code and detail of the error for a path that could leave the folder or isn't a single file in it."""
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


def read_connection(members: Mapping[str, Any], at: str, source_type: str, scope: Scope) -> str | None:
    """Return the name of a connection for sources of this type."""
    name = read_name(members, "connection", at, scope.findings)
    if name is None:
        return None
    known = scope.registry.connections
    if name in known and known[name].type == source_type:
        return name
    allowed = sorted(other for other, connection in known.items() if connection.type == source_type)
    if name not in known:
        refuse_unknown_name(name, f"{at}/connection", "connection", allowed, scope.findings)
        return None
    detail = f"Connection `{cut(name)}` is read by sources of type `{known[name].type}`, not `{source_type}`."
    scope.findings.error(f"{at}/connection", "wrong_connection", detail, allowed=allowed)
    return None


def read_listed_table(members: Mapping[str, Any], at: str, source_type: str, scope: Scope) -> tuple[str, str] | None:
    """Return the names of a connection and a listed table; another spelling of the table is noted."""
    connection = read_connection(members, at, source_type, scope)
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
    return connection, str(table)


def _read_table(members: Mapping[str, Any], at: str, findings: Findings) -> TableName | None:
    given = read_name(members, "table", at, findings)
    table = None if given is None else TableName.parse(given)
    if given is not None and table is None:
        findings.error(f"{at}/table", "invalid_name", SYNTAX, pattern=TABLE.pattern)
    return table


def _is_listed(table: TableName, connection: Connection) -> bool:
    """Say whether a connection may read a table; for a name without a schema, whether any listed table has this name.

    The schema is known when the table is opened; then the list is checked again.
    """
    if table.schema is None:
        return any(table.table == listed.table for listed in connection.tables)
    return table in connection.tables


def _refuse_unlisted(table: TableName, name: str, at: str, connection: Connection, findings: Findings) -> None:
    allowed = [str(listed) for listed in sorted(connection.tables, key=str)]
    wanted = str(table) if table.schema is not None else f"<schema>.{table}"
    guess = nearest(str(table), allowed)
    remedy = f", or give one of {', '.join(allowed[:NAMED_TABLES])}" if allowed else ", which lists none"
    detail = (
        f"Connection `{cut(name)}` may not read table `{cut(str(table))}`: ask the operator to add '{cut(wanted)}' to "
        f"`tables` of [connections.{cut(name)}]{remedy}."
    )
    findings.error(at, "unknown_table", detail, allowed=allowed, **({"nearest": guess} if guess else {}))


def refuse_unknown_name(name: str, at: str, noun: str, allowed: Collection[str], findings: Findings) -> None:
    """Add the error for an unknown name, with the configured names."""
    remedy = f"give one of {', '.join(allowed)}" if allowed else "none is configured, so ask the operator for one"
    guess = nearest(name, allowed)
    detail = f"There is no {noun} `{cut(name)}` for this type of source; {remedy}."
    findings.error(at, f"unknown_{noun}", detail, allowed=allowed, **({"nearest": guess} if guess else {}))
