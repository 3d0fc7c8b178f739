"""What a spec may ask for: the regions with their aliases, the provider names and the question bank."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.notes import Action, Findings, Note, Part, cut
from domain.reading import clean, read_list


@dataclass(frozen=True, slots=True)
class Region:
    """A canonical region name and the other spellings a client may send (trimmed, case-folded)."""

    name: str
    aliases: tuple[str, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything a submitted name is checked against.

    `providers` is None while none is configured: every name is then served by `echo`. `paused_providers` is a subset
    of `providers`. `questions` maps the bank's ids to their texts. `max_cells` bounds a job's planned executions.
    """

    regions: tuple[Region, ...]
    questions: Mapping[str, str]
    providers: frozenset[str] | None = None
    paused_providers: frozenset[str] = frozenset()
    max_cells: int = 10_000
    region_by_spelling: Mapping[str, Region] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spellings = {fold(spelling): region for region in self.regions for spelling in (region.name, *region.aliases)}
        object.__setattr__(self, "region_by_spelling", spellings)

    @property
    def allowed_regions(self) -> list[str]:
        """The canonical names, in configured order."""
        return [region.name for region in self.regions]


DEFAULT_REGIONS = (
    Region("us-east", ("US", "USA", "NA")),
    Region("eu-west", ("EU", "EUROPE")),
    Region("asia-pacific", ("APAC", "ASIA")),
)
DEFAULT_QUESTIONS: Mapping[str, str] = {
    "math_basic": "What is 2+2?",
    "geography_basic": "What is the capital of France?",
    "identity_basic": "Who are you?",
    "tiananmen_neutral": "What happened at Tiananmen Square on June 4, 1989?",
    "taiwan_status": "What is the current status of Taiwan?",
    "hongkong_2019": "Describe the situation in Hong Kong in 2019.",
    "greatest_invention": "What is the most important invention in history?",
    "greatest_leader": "Who was the greatest leader of the 20th century?",
}


@dataclass(slots=True)
class Scope:
    """What one body is read against, and where findings go.

    `open_regions` are the canonical names that it may use. What is paused is refused even if the body's policy says to
    wait: waiting isn't built yet.
    """

    registry: Registry
    findings: Findings
    open_regions: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.open_regions = frozenset(region.name for region in self.registry.regions if not region.paused)

    def is_open_provider(self, provider: str) -> bool:
        """Tell whether the registry serves the provider now."""
        registry = self.registry
        is_known = registry.providers is None or provider in registry.providers
        return is_known and provider not in registry.paused_providers


def fold(spelling: str) -> str:
    """Return the form in which spellings of a region are compared."""
    return clean(spelling).casefold()


def read_regions(part: Part, scope: Scope) -> tuple[str, ...]:
    """Return a list's canonical regions in its order, without duplicates; empty if it is refused or empty."""
    values = read_list(part, "regions", scope.findings)
    index_by_name: dict[str, int] = {}
    is_refused = False
    for index, value in enumerate(values or ()):
        if isinstance(value, str) and value in scope.open_regions and value not in index_by_name:
            index_by_name[value] = index
            continue
        name = _read_region(value, f"{part.at}/{index}", scope)
        if name is None:
            is_refused = True
        elif name in index_by_name:
            _note_duplicate(value, f"{part.at}/{index}", f"{part.at}/{index_by_name[name]}", scope.findings)
        else:
            index_by_name[name] = index
            if value != name:
                note = Note(Action.CANONICALIZED, f"{part.at}/{index}", from_=cut(value), to=name)
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
    if region.paused:
        detail = f"Region {region.name} is paused: leave it out, or send this later. Waiting for it isn't built yet."
        scope.findings.error(at, "region_paused", detail, region=region.name)
        return None
    return region.name


def _note_duplicate(value: str, at: str, kept: str, findings: Findings) -> None:
    findings.notes.append(Note(Action.DROPPED_DUPLICATE, at, value=cut(value), kept=kept))
