"""The scope in which a body is read: the registry, and the findings."""

from dataclasses import dataclass, field

from domain.notes import Findings, cut
from domain.registry import Registry

WAIT = "set policy.on_paused to wait"
"""The policy of a spec that is accepted though it names something paused."""


@dataclass(slots=True)
class Scope:
    """The registry for a body, and the findings; `waits` if its policy accepts paused regions and providers.

    `open_regions` are the canonical names that need no note.
    """

    registry: Registry
    findings: Findings
    waits: bool = False
    open_regions: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        known = frozenset(self.registry.allowed_regions)
        self.open_regions = known if self.waits else known - self.registry.paused_regions

    def refuse_paused_region(self, region: str, at: str) -> None:
        """Add the error for a paused region, unless the body waits."""
        if region not in self.open_regions:
            detail = f"Region {cut(region)} is paused: leave it out, send this later, or {WAIT}."
            self.findings.pause(at, "region_paused", detail, region=cut(region))

    def refuse_paused_provider(self, provider: str, at: str) -> None:
        """Add the error for a paused provider, unless the body waits."""
        serving = self.registry.serving(provider)
        if not self.waits and serving in self.registry.paused_providers:
            detail = f"Provider {cut(serving)} is paused: take another, send this later, or {WAIT}."
            self.findings.pause(at, "provider_paused", detail, provider=cut(serving))

    def is_known_provider(self, provider: str) -> bool:
        """Say whether the registry has the provider, paused or not."""
        return self.registry.providers is None or provider in self.registry.providers
