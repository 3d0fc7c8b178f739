"""Lock files as pip reads them: packages with their versions, the hashes of their files, and their markers."""

from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_HASH = "--hash="


@dataclass(frozen=True, slots=True)
class Locked:
    """A locked package: its normalized name, its version and hashes such as `sha256:…`.

    `is_for_here` says whether its marker holds for this Python and this system.
    """

    name: str
    version: str
    hashes: frozenset[str]
    is_for_here: bool


def read_lock(path: Path) -> list[Locked]:
    """Return the packages of a lock file. Raises ValueError for a line that pins no version, or has no hash."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [_locked(line) for line in lines if line.strip() and not line.startswith("#")]


def _locked(line: str) -> Locked:
    text, *hashes = line.split(_HASH)
    required = Requirement(text.strip())
    pins = [pin.version for pin in required.specifier if pin.operator == "=="]
    if len(pins) != 1 or not hashes:
        raise ValueError(f"{text.strip()}: lock one version with its hashes (make lock)")
    return Locked(
        canonicalize_name(required.name),
        pins[0],
        frozenset(found.strip() for found in hashes),
        required.marker is None or required.marker.evaluate(),
    )
