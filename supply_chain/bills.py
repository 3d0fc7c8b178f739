"""Bills of materials (CycloneDX): each lists exactly what is locked, with its hashes."""

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from supply_chain.locks import Locked


def faults_of(bill: Mapping[str, Any], locked: Iterable[Locked]) -> list[str]:
    """Return sentences on what a bill has and the lock doesn't, and the other way round."""
    listed = {_component(component) for component in bill.get("components", ())}
    wanted = {(package.name, package.version, package.hashes) for package in locked}
    missing = [f"{name} {version} is locked, and not in the bill so" for name, version, _ in wanted - listed]
    added = [f"{name} {version} is in the bill, and not locked so" for name, version, _ in listed - wanted]
    return sorted([*missing, *added])


def _component(component: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
    hashes = frozenset(
        f"{found['alg'].replace('-', '').lower()}:{found['content']}"
        for reference in component.get("externalReferences", ())
        for found in reference.get("hashes", ())
    )
    return canonicalize_name(component["name"]), component["version"], hashes
