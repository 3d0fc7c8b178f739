"""Read the source of a record type: a file below the import root, or a table or query of a configured connection.

Only names are read here, and a spec can't carry more than names: no address, no SQL, no password. The file or table
behind a name is checked again when it is opened.
"""

from domain.import_fields import MISPLACED_IN_SOURCE, SOURCE_FIELDS, SOURCE_HOMES
from domain.notes import Findings, Part
from domain.reading import refuse_misplaced, refuse_unknown
from domain.scope import Scope
from domain.sources.registry import SOURCE_BY_TYPE
from domain.sources.source import Source


def read_source(part: Part, scope: Scope) -> Source | None:
    """Read a source."""
    if not isinstance(part.value, dict):
        scope.findings.wrong_type(part.at, "an object with `type`")
        return None
    members = part.value
    source_type = _read_type(Part(members.get("type"), f"{part.at}/type"), scope.findings)
    if source_type is None:
        return None
    refuse_misplaced(members, MISPLACED_IN_SOURCE, part.at, scope.findings)
    known = SOURCE_FIELDS[source_type.type_name]
    homes = {name: home for name, home in SOURCE_HOMES.items() if home.removeprefix("/") in known}
    refused = MISPLACED_IN_SOURCE.keys()
    refuse_unknown(members, known, part.at, scope.findings, homes=homes, root=part.at, refused=refused)
    return source_type.read(members, part.at, scope)


def _read_type(part: Part, findings: Findings) -> type[Source] | None:
    found = SOURCE_BY_TYPE.get(part.value) if isinstance(part.value, str) else None
    if found is None:
        allowed = list(SOURCE_BY_TYPE)
        findings.error(part.at, "unknown_choice", f"Give one of {', '.join(allowed)}.", allowed=allowed)
    return found
