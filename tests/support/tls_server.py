"""A PostgreSQL that speaks TLS and asks for passwords and certificates: Debian's, since the wheel's has no TLS."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.accounts import Account, account_for_engines
from launcher.embedded import postgres_in
from launcher.folder import DataFolder
from launcher.orphan_reaper import OrphanReaper
from launcher.postgres import Postgres
from tests.support.programs import require_program
from tests.support.service import free_port

PASSWORD = "it's@a:secret/%"  # noqa: S105 - with everything that must be encoded
ACCESS = """
local all all peer map=caller
hostssl all with_certificate all cert
hostssl all tls_only all scram-sha-256
hostnossl all plain_only all scram-sha-256
host all app all scram-sha-256
"""
ROLES = f"""
CREATE ROLE app LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
CREATE ROLE tls_only LOGIN PASSWORD 'tls';
CREATE ROLE plain_only LOGIN PASSWORD 'plain';
CREATE ROLE with_certificate LOGIN;
CREATE DATABASE app OWNER app;
"""


@dataclass(frozen=True)
class TlsServer:
    """A server on `port` of this machine; `certificates` holds what clients and the server show each other."""

    postgres: Postgres
    port: int
    certificates: Path
    psql: str

    @property
    def sockets(self) -> Path:
        return self.postgres.sockets


@contextmanager
def tls_server() -> Iterator[TlsServer]:
    """Run the server; skips the test where Debian's programs are missing."""
    psql, openssl = require_program("psql"), require_program("openssl")
    binaries = _installed_server()
    account = account_for_engines()
    held = DataFolder(Path(tempfile.mkdtemp(prefix="breakwater-tls-")), account).hold()
    reaper = OrphanReaper(held.path)
    port = free_port()
    certificates = _make_certificates(openssl, held.path / "certificates", account)
    settings = {
        "fsync": "off",
        "shared_buffers": "32MB",
        "listen_addresses": "127.0.0.1,::1",
        "port": str(port),
        "ssl": "on",
        "ssl_ca_file": str(certificates / "root.crt"),
        "ssl_cert_file": str(certificates / "server.crt"),
        "ssl_key_file": str(certificates / "server.key"),
        "hba_file": str(_write_access(held.path / "tls_hba.conf")),
    }
    postgres = postgres_in(held, settings=settings, binaries=binaries)
    try:
        postgres.create()
        postgres.start()
        at_socket = f"postgresql://breakwater@/breakwater?host={postgres.sockets}&port={port}"
        subprocess.run([psql, "-X", "-q", at_socket], input=ROLES, text=True, check=True)
        yield TlsServer(postgres, port, certificates, psql)
    finally:
        postgres.stop()
        reaper.dismiss()
        held.release()
        shutil.rmtree(held.path)


def _installed_server() -> Path:
    """Return the folder of the newest server that Debian installed; its programs aren't in the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if os.environ.get("BREAKWATER_TEST_ALL") == "1":
        pytest.fail("Debian's postgresql is not installed; .ci/run installs what the tests call")
    pytest.skip("Debian's postgresql is not installed; .ci/run installs what the tests call")


def _write_access(path: Path) -> Path:
    path.write_text(ACCESS)
    path.chmod(0o644)
    return path


def _make_certificates(openssl: str, folder: Path, account: Account) -> Path:
    """Make two authorities, the server's certificate, a client's, and a list that revokes the server's."""
    folder.mkdir()
    folder.chmod(0o755)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("root", "other"):
        run(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    signed = ("-CA", "root.crt", "-CAkey", "root.key")
    run(*new, *signed, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "server.key",
        "-out", "server.crt")  # fmt: skip
    run(*new, *signed, "-subj", "/CN=with_certificate", "-keyout", "client.key", "-out", "client.crt")
    run("ec", "-in", "client.key", "-aes256", "-passout", "pass:of the key", "-out", "locked.key")
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca = a\n[a]\ndatabase = index\ndefault_md = sha256\ndefault_crl_days = 2\n"
    )
    (folder / "index").touch()
    authority = ("ca", "-config", "ca.conf", "-cert", "root.crt", "-keyfile", "root.key")
    run(*authority, "-gencrl", "-out", "none.crl")
    run(*authority, "-revoke", "server.crt")
    run(*authority, "-gencrl", "-out", "revoked.crl")
    for name in ("client.key", "locked.key", "server.key"):
        (folder / name).chmod(0o600)
    account.own(folder / "server.key")
    return folder
