"""A MariaDB of the session's own, from the Debian package, with its official client to write and to compare."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engines import engines_folder
from tests.support.programs import require_program
from tests.support.service import free_port
from tests.support.waiting import eventually

CERTIFICATE = "certificate.pem"
OPTIONS = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=32M",
    "--innodb-file-per-table=OFF",
    "--innodb-doublewrite=OFF",
    "--sync-frm=OFF",
    "--performance-schema=OFF",
    "--skip-name-resolve",
    "--connect-timeout=60",  # a busy machine may let a client wait within its greeting
    "--bind-address=127.0.0.1",
)


@dataclass(frozen=True)
class Mariadb:
    """A running server. `folder` holds its socket, and the certificate that it shows, which no authority signed."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"

    def run(self, statements: str, *, database: str = "", user: str = "root") -> list[list[str]]:
        """Run statements by the official client; return the rows that it shows, each value as the text it writes."""
        command = ["mariadb", "--no-defaults", f"--socket={self.folder / 'socket'}", f"--user={user}", "--batch"]
        options = ["--skip-ssl", "--skip-column-names", "--raw", "--default-character-set=utf8mb4", database]
        done = subprocess.run(
            [*command, *filter(None, options)], input=statements.encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr.decode()}\n{(self.folder / 'log').read_text()[-2000:]}"
        return [line.split("\t") for line in done.stdout.decode(errors="surrogateescape").splitlines()]

    @property
    def certificate(self) -> Path:
        """What to trust: the server's own certificate, issued for the name `shop`."""
        return self.folder / CERTIFICATE

    def url(self, database: str, *, user: str = "root", password: str = "", options: str = "") -> str:
        """The URL of a database, over TCP."""
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}{options}"


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Mariadb]:
    """One server for the whole session; it ends with this process, however that does."""
    server, install = require_program("mariadbd"), require_program("mariadb-install-db")
    require_program("mariadb")
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-mariadb-", dir=engines_folder()))
    account = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(folder, "nobody", "nogroup")
    certificate = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=shop", "-keyout", "key.pem", "-out", CERTIFICATE]
    subprocess.run([require_program("openssl"), *certificate, *names], cwd=folder, check=True, capture_output=True)
    for path in folder.iterdir():
        path.chmod(0o644)
    as_nobody = [require_program("setpriv"), *account, "--pdeathsig=KILL"]
    data = f"--datadir={folder / 'data'}"
    installing = [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([*as_nobody, *installing], check=True, capture_output=True)
    port = free_port()
    tls = [f"--ssl-cert={folder / CERTIFICATE}", f"--ssl-key={folder / 'key.pem'}"]
    place = [*tls, data, f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", f"--port={port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*as_nobody, server, "--no-defaults", *place, *OPTIONS], stdout=log, stderr=log)
    try:
        eventually(lambda: (folder / "socket").exists() or process.poll() is not None, seconds=30)
        assert process.poll() is None, (folder / "log").read_text()
        yield Mariadb(folder, port, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def mariadb(mariadb_server: Mariadb) -> Iterator[tuple[Mariadb, str]]:
    """The server, and the name of a database of the test's own."""
    name = f"shop_{secrets.token_hex(4)}"
    mariadb_server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield mariadb_server, name
    mariadb_server.run(f"DROP DATABASE {name}")
