"""Read the regions of a submitted body: names or aliases, in canonical form."""

from domain.notes import Action, Findings, Note, Part, cut
from domain.reading import read_list
from domain.registry import fold
from domain.scope import Scope


def read_regions(part: Part, scope: Scope) -> tuple[str, ...]:
    """Return a list's canonical regions in its order, without duplicates; empty if it is refused or empty."""
    values = read_list(part, "regions", scope.findings)
    index_by_name: dict[str, int] = {}
    is_refused = False
    for index, value in enumerate(values or ()):
        if isinstance(value, str) and value in scope.open_regions and value not in index_by_name:
            index_by_name[value] = index
            continue
        at = f"{part.at}/{index}"
        name = _read_region(value, at, scope)
        if name is None:
            is_refused = True
        elif name in index_by_name:
            _note_duplicate(value, at, f"{part.at}/{index_by_name[name]}", scope.findings)
        else:
            index_by_name[name] = index
            scope.refuse_paused_region(name, at)
            if value != name:
                note = Note(Action.CANONICALIZED, at, from_=cut(value), to=name)
                scope.findings.notes.append(note)
    return () if is_refused else tuple(index_by_name)


def _read_region(value: object, at: str, scope: Scope) -> str | None:
    """Return the canonical name; there is no default region, so an unknown one is an error."""
    if not isinstance(value, str):
        scope.findings.wrong_type(at, "the name of a region")
        return None
    spellings = scope.registry.region_by_spelling
    region = spellings.get(value) or spellings.get(fold(value))
    if region is None:
        allowed = scope.registry.allowed_regions
        detail = f"There is no region `{cut(value)}`; give one of {', '.join(allowed)}."
        scope.findings.error(at, "unknown_region", detail, allowed=allowed)
        return None
    return region.name


def _note_duplicate(value: str, at: str, kept: str, findings: Findings) -> None:
    findings.notes.append(Note(Action.DROPPED_DUPLICATE, at, value=cut(value), kept=kept))
