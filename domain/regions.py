"""What a spec may ask for: the regions with their aliases, the provider names and the question bank."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
        spellings = {
            spelling.strip().casefold(): region for region in self.regions for spelling in (region.name, *region.aliases)
        }
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
