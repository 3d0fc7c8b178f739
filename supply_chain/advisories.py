"""Known vulnerabilities: what pip-audit found, and whether it could look at all.

Where an index has no advisories, pip-audit skips each package and says that it found nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNREACHED = ("requests.exceptions.", "urllib3.exceptions.", "ConnectionError", "ServiceError")
"""What the end of pip-audit's errors has where the network is at fault."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The vulnerable packages with their advisories, the number of packages that were looked up, and of all."""

    vulnerable: tuple[str, ...]
    looked_up: int
    packages: int

    @property
    def verdict(self) -> str:
        """Say what is known now."""
        if self.vulnerable:
            return f"known vulnerabilities: {'; '.join(self.vulnerable)}"
        if self.looked_up == 0:
            return f"NOT AUDITED: no advisories can be reached from here, for none of {self.packages} packages"
        if self.looked_up < self.packages:
            left = self.packages - self.looked_up
            return (
                f"no known vulnerabilities in {self.looked_up} packages; NOT AUDITED: {left}, without advisories here"
            )
        return f"no known vulnerabilities in {self.packages} packages"


def read_audit(report: Mapping[str, Any]) -> Audit:
    """Return what a report of pip-audit, as JSON, says."""
    packages = report["dependencies"]
    looked_up = [package for package in packages if "vulns" in package]
    vulnerable = tuple(
        f"{package['name']} {package['version']} ({', '.join(found['id'] for found in package['vulns'])})"
        for package in looked_up
        if package["vulns"]
    )
    return Audit(vulnerable, len(looked_up), len(packages))


def is_unreached(errors: str) -> bool:
    """Say whether pip-audit failed because it reached nobody, by the last line of what it wrote."""
    last = errors.strip().rpartition("\n")[2]
    return any(sign in last for sign in _UNREACHED)
