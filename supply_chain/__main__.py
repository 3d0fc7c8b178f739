"""Look at what is locked: `python -m supply_chain licences|sbom|audit`. Ends with 1 if something is wrong."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from supply_chain import advisories, bills, licences
from supply_chain.locks import read_lock

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements"
TOOLS = ROOT / ".supply-chain" / "bin"
BUILD = ROOT / "build"
SHIPPED = ("prod", "run")
"""The locks of the image and of `make run`; that for development has all of theirs, and the tools' is apart."""
LOOKED_AT = ("dev", "supply-chain")
REACH_SECONDS = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return 0 if all is right, else 1."""
    parser = argparse.ArgumentParser(prog="supply_chain", description=__doc__)
    parser.add_argument("look", choices=_LOOKS)
    faults = _LOOKS[parser.parse_args(arguments).look]()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _look_at_licences() -> Sequence[str]:
    faults: list[str] = []
    for name, python in (("dev", Path(sys.executable)), ("supply-chain", TOOLS / "python")):
        listed = _run("pip-licenses", "--python", python, "--from=mixed", "--with-system", "--format=json").stdout
        installed = orjson.loads(listed)
        faults += licences.faults_of(installed, read_lock(LOCKS / f"{name}.lock"))
        print(f"looked at the licences of {len(installed)} packages of {name}.lock")
    return faults


def _write_bills() -> Sequence[str]:
    BUILD.mkdir(exist_ok=True)
    faults: list[str] = []
    for name in SHIPPED:
        lock, bill = LOCKS / f"{name}.lock", BUILD / f"sbom-{name}.cdx.json"
        project = ("--pyproject", ROOT / "pyproject.toml", "--output-reproducible")
        _run("cyclonedx-py", "requirements", lock, *project, "--output-file", bill)
        locked = read_lock(lock)
        faults += bills.faults_of(orjson.loads(bill.read_bytes()), locked)
        print(f"wrote {bill.relative_to(ROOT)} with {len(locked)} packages")
    return faults


def _audit() -> Sequence[str]:
    return [fault for name in LOOKED_AT for fault in _audit_lock(name)]


def _audit_lock(name: str) -> Sequence[str]:
    """Look for known vulnerabilities; where that can't be done from here, say so, and find no fault."""
    BUILD.mkdir(exist_ok=True)
    lock, report = LOCKS / f"{name}.lock", BUILD / f"audit-{name}.json"
    report.unlink(missing_ok=True)
    flags = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json", "--output", report)
    try:
        done = _run("pip-audit", *flags, "--requirement", lock, may_fail=True, seconds=REACH_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"{lock.name}: NOT AUDITED: nothing answered within {REACH_SECONDS} s")
        return ()
    if report.exists():
        audit = advisories.read_audit(orjson.loads(report.read_bytes()))
        print(f"{lock.name}: {audit.verdict}")
        return audit.vulnerable
    if advisories.is_unreached(done.stderr):
        print(f"{lock.name}: NOT AUDITED: nothing can be reached from here")
        return ()
    return [done.stderr]


def _run(
    program: str, *arguments: str | Path, may_fail: bool = False, seconds: float | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own programs and paths
        [TOOLS / program, *arguments], check=not may_fail, capture_output=True, text=True, timeout=seconds
    )


_LOOKS: Mapping[str, Callable[[], Sequence[str]]] = {
    "licences": _look_at_licences,
    "sbom": _write_bills,
    "audit": _audit,
}


if __name__ == "__main__":
    sys.exit(main())
