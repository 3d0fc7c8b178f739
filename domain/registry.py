"""The registry: the names that a spec may use under the configuration in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.reading import clean
from domain.table_names import TableName

ECHO = "echo"
"""The provider that serves every provider's name while simulating."""
DEFAULT_PROVIDER = "hybrid"
"""The provider of a model that names none, unless the configuration sets another."""


@dataclass(frozen=True, slots=True)
class Region:
    """A canonical region name and the other spellings a client may send (trimmed, case-folded)."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A configured connection: the type of its sources, and the names of its queries.

    Of a database only `tables` may be read, each named with its schema.
    """

    type: str
    queries: frozenset[str] = frozenset()
    tables: frozenset[TableName] = frozenset()


@dataclass(frozen=True, slots=True)
class Registry:
    """The names against which a submitted spec is checked.

    `providers` is None while simulating: every name is then served by `echo`. The `simulated_providers` serve without
    calling a service. A model that names no provider gets the `default_provider`. `paused_regions` (canonical) and
    `paused_providers` (serving ones) are paused now. `regions_by_provider` holds the providers that serve some regions
    only, canonical and in configured order. `questions` maps the bank's ids to their texts. `max_cells` bounds a job's
    planned executions. `connections` are those that imports may read, by name; they may read files only if it
    `has_import_root`. All of this is from configuration `configuration_no`, 0 if none is committed.
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
        """The names of the providers that serve, in order."""
        return [ECHO] if self.providers is None else sorted(self.providers)

    def serving(self, provider: str) -> str:
        """Return the serving provider of models that name this provider."""
        return ECHO if self.providers is None else provider

    def canonical(self, spelling: str) -> str | None:
        """Return the canonical name of a region in any spelling; None if there is no such region."""
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


def fold(spelling: str) -> str:
    """Return the form in which spellings of a region are compared."""
    return clean(spelling).casefold()
