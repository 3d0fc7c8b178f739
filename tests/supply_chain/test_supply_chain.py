"""The looks at what is locked find what is wrong, and say where nobody could look."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from supply_chain import advisories, bills, licences
from supply_chain.__main__ import TOOLS
from supply_chain.locks import Locked, read_lock
from tests.support.programs import require_program
from tests.support.service import free_port

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
HASH = "sha256:" + "0a" * 32
OTHER_HASH = "sha256:" + "0b" * 32
LOCKED = [Locked("one-two", "1.0", frozenset({HASH, OTHER_HASH}), is_for_here=True)]
INSTALLED = [{"Name": "One.Two", "Version": "1.0", "License": "MIT"}]
BILL: Any = {
    "components": [
        {
            "name": "One_Two",
            "version": "1.0",
            "externalReferences": [
                {"hashes": [{"alg": "SHA-256", "content": found[7:]} for found in (HASH, OTHER_HASH)]}
            ],
        }
    ]
}


@pytest.mark.parametrize("name", ["prod", "run", "dev", "supply-chain"])
def test_every_lock_pins_versions_with_hashes_and_names_no_host(name: str) -> None:
    path = REQUIREMENTS / f"{name}.lock"
    assert len(read_lock(path)) > 40
    assert "://" not in path.read_text()
    assert "--index" not in path.read_text()


@pytest.mark.parametrize("line", ["one>=1 --hash=sha256:0a", "one==1", "one --hash=sha256:0a"])
def test_a_line_without_a_version_or_a_hash_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.lock").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="make lock"):
        read_lock(tmp_path / "a.lock")


def test_a_line_is_read_with_its_marker_and_all_of_its_hashes(tmp_path: Path) -> None:
    text = f"# a comment\none_two[x]==1.0 ; sys_platform == 'none' \\\n    --hash={HASH} \\\n    --hash={OTHER_HASH}\n"
    (tmp_path / "a.lock").write_text(text)
    assert read_lock(tmp_path / "a.lock") == [Locked("one-two", "1.0", LOCKED[0].hashes, is_for_here=False)]


@pytest.mark.parametrize("given", ["MIT", "MIT License; Apache Software License", "Apache-2.0 OR BSD-3-Clause"])
def test_allowed_licences_are_no_fault(given: str) -> None:
    assert licences.faults_of([{**INSTALLED[0], "License": given}], LOCKED) == []


@pytest.mark.parametrize(
    "given", ["GPL-3.0-only", "UNKNOWN", "MIT; GNU General Public License (GPL)", "MIT AND GPL-2.0"]
)
def test_another_licence_is_a_fault_also_beside_an_allowed_one(given: str) -> None:
    [fault] = licences.faults_of([{**INSTALLED[0], "License": given}], LOCKED)
    assert "one-two has the licence" in fault


@pytest.mark.parametrize("installed", [[], [{**INSTALLED[0], "Version": "0.9"}]])
def test_a_locked_package_that_isnt_installed_is_a_fault(installed: Any) -> None:
    [fault] = licences.faults_of(installed, LOCKED)
    assert fault.startswith("one-two 1.0 is locked, and not installed")
    elsewhere = [Locked("one-two", "1.0", LOCKED[0].hashes, is_for_here=False)]
    assert licences.faults_of([], elsewhere) == []


def test_a_bill_lists_exactly_what_is_locked() -> None:
    assert bills.faults_of(BILL, LOCKED) == []
    assert bills.faults_of({}, LOCKED) == ["one-two 1.0 is locked, and not in the bill so"]
    assert bills.faults_of(BILL, []) == ["one-two 1.0 is in the bill, and not locked so"]
    for changed in ({"version": "1.1"}, {"externalReferences": []}):
        other = copy.deepcopy(BILL)
        other["components"][0].update(changed)
        assert len(bills.faults_of(other, LOCKED)) == 2


FOUND: Any = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}
CLEAN: Any = {"name": "b", "version": "2", "vulns": []}
SKIPPED: Any = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "vulnerable", "told"),
    [
        ([CLEAN, CLEAN], (), "no known vulnerabilities in 2 packages"),
        ([FOUND, SKIPPED], ("a 1 (CVE-1, CVE-2)",), "known vulnerabilities: a 1 (CVE-1, CVE-2)"),
        ([SKIPPED, SKIPPED], (), "NOT AUDITED: no advisories"),
        ([CLEAN, SKIPPED], (), "no known vulnerabilities in 1 packages; NOT AUDITED: 1,"),
    ],
)
def test_an_audit_says_what_it_looked_up(packages: Any, vulnerable: tuple[str, ...], told: str) -> None:
    audit = advisories.read_audit({"dependencies": packages, "fixes": []})
    assert audit.vulnerable == vulnerable
    assert audit.verdict.startswith(told)


@pytest.mark.parametrize(
    ("errors", "is_unreached"),
    [
        ("Traceback:\n  ConnectionError\nrequests.exceptions.ProxyError: HTTPSConnectionPool\n", True),
        ("requests.exceptions.ProxyError\nERROR:pip_audit._cli:package certifi has duplicate requirements\n", False),
        ("", False),
    ],
)
def test_only_an_unreached_network_is_no_fault(errors: str, *, is_unreached: bool) -> None:
    assert advisories.is_unreached(errors) == is_unreached


ADVISORY = {
    "id": "OSV-1",
    "affected": [{"package": {"name": "alembic", "ecosystem": "PyPI"}, "ranges": []}],
    "summary": "It does too much.",
}


class Advisories(BaseHTTPRequestHandler):
    """Advisories as OSV serves them: there is one, of Alembic."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [ADVISORY]} if asked["package"]["name"] == "alembic" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def advisories_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def audit(url: str) -> "subprocess.CompletedProcess[str]":
    require_program(str(TOOLS / "pip-audit"))
    environment = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "supply_chain", "audit"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_an_audit_fails_for_what_the_real_tool_finds(advisories_url: str) -> None:
    done = audit(advisories_url)
    assert (done.returncode, done.stderr.count("OSV-1")) == (1, 1), done.stderr
    assert "dev.lock: known vulnerabilities: alembic" in done.stdout
    assert "supply-chain.lock: no known vulnerabilities in" in done.stdout


def test_an_audit_that_reaches_nobody_says_so_and_doesnt_fail() -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("NOT AUDITED: nothing can be reached from here") == 2
