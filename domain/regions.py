"""What a spec may ask for: regions with their aliases, provider names, the question bank, and what imports read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.notes import Action, Findings, Note, Part, cut
from domain.reading import clean, read_list
from domain.table_names import TableName

ECHO = "echo"
"""Who serves every provider name while simulating."""
DEFAULT_PROVIDER = "hybrid"
"""Whom a model gets that names no provider, unless the configuration says another."""
WAIT = "set policy.on_paused to wait"
"""What takes a spec that names what is paused."""


@dataclass(frozen=True, slots=True)
class Region:
    """A canonical region name and the other spellings a client may send (trimmed, case-folded)."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A configured connection: which type of source reads it, and the names of the queries that it may be asked.

    Of a database, `tables` may be read, each named with its schema, and nothing else.
    """

    type: str
    queries: frozenset[str] = frozenset()
    tables: frozenset[TableName] = frozenset()


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything a submitted name is checked against.

    `providers` is None while simulating: every name is then served by `echo`. Those that serve and ask nobody are
    `simulated_providers`. A model that names no provider gets the `default_provider`. What is paused now is named in
    `paused_regions` (canonical) and `paused_providers` (those that serve). `regions_by_provider` holds the providers
    that serve some regions only, canonical and in configured order. `questions` maps the bank's ids to their texts.
    `max_cells` bounds a job's planned executions. `connections` are those that imports may read, by name; they may
    read files only if it `has_import_root`. All of it is what configuration `configuration_no` says, 0 where none is
    committed.
    """

    regions: tuple[Region, ...]
    questions: Mapping[str, str]
    providers: frozenset[str] | None = None
    paused_regions: frozenset[str] = frozenset()
    paused_providers: frozenset[str] = frozenset()
    regions_by_provider: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_cells: int = 10_000
    connections: Mapping[str, Connection] = field(default_factory=dict)
    has_import_root: bool = False
    default_provider: str = DEFAULT_PROVIDER
    simulated_providers: frozenset[str] = frozenset()
    configuration_no: int = 0
    region_by_spelling: Mapping[str, Region] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spellings = {fold(spelling): region for region in self.regions for spelling in (region.name, *region.aliases)}
        object.__setattr__(self, "region_by_spelling", spellings)

    @property
    def allowed_regions(self) -> list[str]:
        """The canonical names, in configured order."""
        return [region.name for region in self.regions]

    @property
    def serving_providers(self) -> list[str]:
        """The names of whoever serves, in order."""
        return [ECHO] if self.providers is None else sorted(self.providers)

    def serving(self, provider: str) -> str:
        """Return who serves a model that names this provider."""
        return ECHO if self.providers is None else provider

    def canonical(self, spelling: str) -> str | None:
        """Return the name of the region that is spelled like this, None if there is none."""
        region = self.region_by_spelling.get(fold(spelling))
        return None if region is None else region.name

    def unserved(self, provider: str, regions: Iterable[str]) -> list[str]:
        """Return those of the canonical `regions` that the provider doesn't serve."""
        served = self.regions_by_provider.get(provider)
        return [] if served is None else [region for region in regions if region not in served]


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
    """What one body is read against, and where findings go; `waits` if its policy takes what is paused as well.

    `open_regions` are the canonical names that it may use without a word.
    """

    registry: Registry
    findings: Findings
    waits: bool = False
    open_regions: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        known = frozenset(self.registry.allowed_regions)
        self.open_regions = known if self.waits else known - self.registry.paused_regions

    def refuse_paused_region(self, region: str, at: str) -> None:
        """Add the reason against a known region that is paused, unless the body waits."""
        if region not in self.open_regions:
            detail = f"Region {cut(region)} is paused: leave it out, send this later, or {WAIT}."
            self.findings.pause(at, "region_paused", detail, region=cut(region))

    def refuse_paused_provider(self, provider: str, at: str) -> None:
        """Add the reason against a known provider that is paused, unless the body waits."""
        serving = self.registry.serving(provider)
        if not self.waits and serving in self.registry.paused_providers:
            detail = f"Provider {cut(serving)} is paused: take another, send this later, or {WAIT}."
            self.findings.pause(at, "provider_paused", detail, provider=cut(serving))

    def is_known_provider(self, provider: str) -> bool:
        """Tell whether the registry has the provider, paused or not."""
        return self.registry.providers is None or provider in self.registry.providers


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
