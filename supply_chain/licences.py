"""Licences: each installed package has ones of a list that somebody decided on."""

from collections.abc import Iterable, Mapping, Sequence

from packaging.utils import canonicalize_name

from supply_chain.locks import Locked

ALLOWED = frozenset(
    [
        *("0BSD", "Apache Software License", "Apache-2.0", "BSD License", "BSD-2-Clause", "BSD-3-Clause"),
        *("ISC", "ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "MPL-2.0"),
        *("Mozilla Public License 2.0 (MPL 2.0)", "PSF-2.0", "Python Software Foundation License"),
        *("Apache-2.0 AND BSD-2-Clause", "Apache-2.0 OR BSD-2-Clause", "Apache-2.0 OR BSD-3-Clause"),
        *("MIT AND PSF-2.0", "MIT OR Apache-2.0", "MPL-2.0 AND (Apache-2.0 OR MIT)"),
        "DFSG approved",  # beside another one
    ]
)
"""As packages name them. Those that ask for the source of what is built with them (GPL, AGPL) aren't here."""
_SEPARATOR = "; "


def faults_of(installed: Sequence[Mapping[str, str]], locked: Iterable[Locked]) -> list[str]:
    """Return sentences on packages of other licences, and on locked ones that aren't installed, so weren't looked at.

    `installed` is what pip-licenses lists as JSON. A package that names several licences needs all of them allowed.
    """
    found = {str(canonicalize_name(package["Name"])): package for package in installed}
    faults = [
        f"{package.name} {package.version} is locked, and not installed: its licence is unknown"
        for package in locked
        if package.is_for_here and found.get(package.name, {}).get("Version") != package.version
    ]
    for name, package in found.items():
        given = set(package["License"].split(_SEPARATOR))
        if other := sorted(given - ALLOWED):
            faults.append(f"{name} has the licence {', '.join(other)}, which isn't allowed")
    return faults
