"""Connection strings mean the same as to psql: server, role, database, encryption and settings."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from db.engine import REJECTED, UNAVAILABLE, connect, create_engine, probe
from domain.postgres_url import WrongConnectionString
from tests.support.service import free_port
from tests.support.tls_server import PASSWORD, TlsServer, tls_server
from tests.support.waiting import eventually_async

FACTS = """
SELECT concat_ws(' ',
    current_user, current_database(), current_setting('search_path'), inet_server_port(),
    CASE WHEN current_setting('application_name') IN ('psql', 'breakwater') THEN '-'
        ELSE current_setting('application_name') END,
    (SELECT CASE WHEN ssl THEN version ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()))
"""
LOGIN = f"app:{quote(PASSWORD, safe='')}"
PLAIN, TLS, REFUSAL = "plain", "TLSv1.3", "refused"


@dataclass(frozen=True)
class Case:
    """A connection string and its result; `{…}` are filled in by `values`."""

    text: str
    expected: str
    environment: Mapping[str, str] = field(default_factory=dict)
    is_known_to_psql_15: bool = True


CASES = {
    "no mode prefers TLS": Case("postgresql://{app}@localhost:{port}/app", TLS),
    "the short scheme": Case("postgres://{app}@localhost:{port}/app", TLS),
    "disable": Case("postgresql://{app}@localhost:{port}/app?sslmode=disable", PLAIN),
    "allow begins without TLS": Case("postgresql://{app}@localhost:{port}/app?sslmode=allow", PLAIN),
    "allow goes on to TLS": Case("postgresql://tls_only:tls@localhost:{port}/app?sslmode=allow", TLS),
    "prefer": Case("postgresql://{app}@localhost:{port}/app?sslmode=prefer", TLS),
    "prefer goes on without TLS": Case("postgresql://plain_only:plain@localhost:{port}/app?sslmode=prefer", PLAIN),
    "require": Case("postgresql://{app}@localhost:{port}/app?sslmode=require", TLS),
    "require where only plain is let in": Case(
        "postgresql://plain_only:plain@localhost:{port}/app?sslmode=require", REFUSAL
    ),
    "disable where only TLS is let in": Case("postgresql://tls_only:tls@localhost:{port}/app?sslmode=disable", REFUSAL),
    "require verifies by a root certificate": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=require&sslrootcert={c}/other.crt", REFUSAL
    ),
    "verify-ca": Case("postgresql://{app}@127.0.0.1:{port}/app?sslmode=verify-ca&sslrootcert={c}/root.crt", TLS),
    "verify-ca by another authority": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=verify-ca&sslrootcert={c}/other.crt", REFUSAL
    ),
    "verify-full": Case("postgresql://{app}@localhost:{port}/app?sslmode=verify-full&sslrootcert={c}/root.crt", TLS),
    "verify-full by another name": Case(
        "postgresql://{app}@127.0.0.1:{port}/app?sslmode=verify-full&sslrootcert={c}/root.crt", REFUSAL
    ),
    "verify-full of a host at an address": Case(
        "postgresql://{app}@localhost:{port}/app?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={c}/root.crt", TLS
    ),
    "verify-full without a root certificate": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=verify-full", REFUSAL
    ),
    "verify-full by the machine's authorities": Case(
        "postgresql://{app}@localhost:{port}/app?sslrootcert=system", REFUSAL, is_known_to_psql_15=False
    ),
    "a certificate of ours": Case(
        "postgresql://with_certificate@localhost:{port}/app?sslcert={c}/client.crt&sslkey={c}/client.key", TLS
    ),
    "a locked key": Case(
        "postgresql://with_certificate@localhost:{port}/app"
        "?sslcert={c}/client.crt&sslkey={c}/locked.key&sslpassword=of%20the%20key",
        TLS,
    ),
    "a locked key and a wrong password": Case(
        "postgresql://with_certificate@localhost:{port}/app"
        "?sslmode=require&sslcert={c}/client.crt&sslkey={c}/locked.key&sslpassword=wrong",
        REFUSAL,
    ),
    "nobody is revoked": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=verify-ca&sslrootcert={c}/root.crt&sslcrl={c}/none.crl", TLS
    ),
    "the server is revoked": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=verify-ca&sslrootcert={c}/root.crt&sslcrl={c}/revoked.crl",
        REFUSAL,
    ),
    "a highest TLS version": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=require&ssl_max_protocol_version=TLSv1.2", "TLSv1.2"
    ),
    "a lowest TLS version": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=require&ssl_min_protocol_version=TLSv1.3", TLS
    ),
    "application_name": Case("postgresql://{app}@localhost:{port}/app?application_name=our%20jobs", "our jobs"),
    "fallback_application_name": Case(
        "postgresql://{app}@localhost:{port}/app?fallback_application_name=x&application_name=jobs", "jobs"
    ),
    "options": Case("postgresql://{app}@localhost:{port}/app?options=-csearch_path%3Delsewhere", "elsewhere"),
    "connect_timeout": Case("postgresql://{app}@localhost:{port}/app?connect_timeout=3", TLS),
    "channel_binding": Case("postgresql://{app}@localhost:{port}/app?channel_binding=prefer", TLS),
    "no GSS": Case("postgresql://{app}@localhost:{port}/app?gssencmode=disable&sslmode=disable", PLAIN),
    "read-write": Case("postgresql://{app}@localhost:{port}/app?target_session_attrs=read-write", TLS),
    "a primary": Case("postgresql://{app}@localhost:{port}/app?target_session_attrs=primary", TLS),
    "a standby": Case("postgresql://{app}@localhost:{port}/app?target_session_attrs=standby", REFUSAL),
    "a standby if there is one": Case(
        "postgresql://{app}@localhost:{port}/app?target_session_attrs=prefer-standby", TLS
    ),
    "read-only": Case("postgresql://{app}@localhost:{port}/app?target_session_attrs=read-only", REFUSAL),
    "several hosts": Case("postgresql://{app}@localhost:{nobody},localhost:{port}/app", TLS),
    "several hosts in the query": Case("postgresql:///app?{query}&host=localhost,127.0.0.1&port={nobody},{port}", TLS),
    "several hosts, any of them": Case(
        "postgresql://{app}@localhost:{nobody},localhost:{port}/app?load_balance_hosts=random",
        TLS,
        is_known_to_psql_15=False,
    ),
    "everything in the query": Case("postgresql://?host=localhost&port={port}&dbname=app&{query}", TLS),
    "an IPv6 address": Case("postgresql://{app}@[::1]:{port}/app", TLS),
    "a socket": Case("postgresql://breakwater@/breakwater?host={sockets}&port={port}", PLAIN),
    "a socket in the place of the host": Case("postgresql://breakwater@{encoded_sockets}:{port}/breakwater", PLAIN),
    "a socket doesn't take TLS": Case(
        "postgresql://breakwater@/breakwater?host={sockets}&port={port}&sslmode=require", PLAIN
    ),
    "keepalives": Case(
        "postgresql://{app}@localhost:{port}/app?keepalives=1&keepalives_idle=5&keepalives_interval=2"
        "&keepalives_count=2&tcp_user_timeout=9000",
        TLS,
    ),
    "keys and values": Case("host=localhost port = {port} dbname=app user=app password='{quoted}'", TLS),
    "a password file": Case("postgresql://app@localhost:{port}/app?passfile={c}/passwords", TLS),
    "a password file that others may read": Case(
        "postgresql://app@localhost:{port}/app?passfile={c}/open_passwords", REFUSAL
    ),
    "a service": Case("postgresql://?service=jobs", "of the service", {"PGSERVICEFILE": "{c}/services"}),
    "a service and more": Case(
        "postgresql:///?service=jobs&application_name=mine", "mine", {"PGSERVICEFILE": "{c}/services"}
    ),
    "a service that there is not": Case("postgresql://?service=no", REFUSAL, {"PGSERVICEFILE": "{c}/services"}),
    "the environment": Case(
        "postgresql://",
        "of the environment",
        {
            "PGHOST": "localhost", "PGPORT": "{port}", "PGUSER": "app", "PGPASSWORD": PASSWORD, "PGDATABASE": "app",
            "PGAPPNAME": "of the environment", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "{c}/root.crt",
        },
    ),
    "the environment yields to the string": Case(
        "postgresql://{app}@localhost:{port}/app?sslmode=disable", PLAIN, {"PGSSLMODE": "require", "PGUSER": "nobody"}
    ),
    "a wrong password": Case("postgresql://app:wrong@localhost:{port}/app", REFUSAL),
    "an absent database": Case("postgresql://{app}@localhost:{port}/nowhere", REFUSAL),
    "an unknown parameter": Case("postgresql://{app}@localhost:{port}/app?sslmod=require", REFUSAL),
    "an unknown mode": Case("postgresql://{app}@localhost:{port}/app?sslmode=requires", REFUSAL),
    "as many ports as hosts": Case("postgresql:///app?host=a,b&port=1,2,3", REFUSAL),
    "a port that is none": Case("postgresql://{app}@localhost:99999/app", REFUSAL),
    "TLS as Java writes it": Case("postgresql://{app}@localhost:{port}/app?ssl=true", TLS),
}  # fmt: skip
OURS_ALONE = {
    "TLS as the driver writes it": Case("postgresql://{app}@localhost:{port}/app?ssl=require", TLS),
    "hosts as the toolkit writes them": Case(
        "postgresql://{app}@/app?host=localhost:{nobody}&host=localhost:{port}", TLS
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    with tls_server() as server:
        folder = server.certificates
        line = "localhost:*:app:app:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        for name, mode in (("passwords", 0o600), ("open_passwords", 0o644)):
            (folder / name).write_text(f"# who\n{line}\n")
            (folder / name).chmod(mode)
        (folder / "services").write_text(
            f"[other]\nhost=nowhere\n[jobs]\nhost=localhost\nport={server.port}\nuser=app\npassword={PASSWORD}\n"
            "dbname=app\napplication_name=of the service\n"
        )
        yield server


def filled(case: Case, server: TlsServer, nobody: int) -> tuple[str, dict[str, str]]:
    values = {
        "port": server.port,
        "nobody": nobody,
        "c": server.certificates,
        "app": LOGIN,
        "query": f"user=app&password={quote(PASSWORD, safe='')}",
        "quoted": PASSWORD.replace("\\", "\\\\").replace("'", "\\'"),
        "sockets": server.sockets,
        "encoded_sockets": quote(str(server.sockets), safe=""),
    }
    return case.text.format_map(values), {name: text.format_map(values) for name, text in case.environment.items()}


@pytest.fixture(autouse=True)
async def no_connection_is_left(server: TlsServer) -> AsyncIterator[None]:
    """A TLS connection that was refused ends only with the server's answer to our farewell, which the loop must see."""
    yield

    async def are_closed() -> bool:
        return all(
            connection.raddr == () or connection.raddr.port != server.port
            for connection in psutil.Process().net_connections("tcp")
        )

    await eventually_async(are_closed, what="no connection to the server is open")


async def what_we_find(text: str) -> str:
    try:
        engine = create_engine(text, size=1)
    except WrongConnectionString:
        return REFUSAL
    try:
        async with connect(engine) as connection:
            found: str = await connection.fetchval(FACTS)
            return found
    except (*UNAVAILABLE, *REJECTED):
        return REFUSAL
    finally:
        await engine.dispose()


def what_psql_finds(psql: str, text: str) -> str:
    done = subprocess.run(
        [psql, "-X", "-w", "-A", "-t", "-c", FACTS, text], env=os.environ, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else REFUSAL


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in (CASES | OURS_ALONE).items()])
async def test_a_connection_string_works_as_with_psql(
    case: Case, server: TlsServer, tmp_path: Path, monkeypatch
) -> None:
    text, environment = filled(case, server, free_port())
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    for name, value in {**environment, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    is_known = case not in OURS_ALONE.values() and case.is_known_to_psql_15
    psql_finds = asyncio.create_task(asyncio.to_thread(what_psql_finds, server.psql, text)) if is_known else None
    found = await what_we_find(text)
    assert case.expected in found
    assert psql_finds is None or found == await psql_finds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("postgresql://app:wrong@localhost:{port}/app", 'failed for user "app": set the right user and password.'),
        ("postgresql://{app}@localhost:{port}/nowhere", '"nowhere" does not exist: create it'),
        ("postgresql://tls_only:tls@localhost:{port}/app?sslmode=disable", "no encryption: let this account in"),
        ("postgresql://{app}@localhost:{port}/app?sslmode=verify-ca&sslrootcert={c}/other.crt", "set sslrootcert to"),
        ("postgresql://{app}@127.0.0.1:{port}/app?sslmode=verify-full&sslrootcert={c}/root.crt", "set sslrootcert to"),
        ("postgresql://{app}@localhost:{port}/app?sslmode=verify-ca&sslrootcert={c}/none.crt", "No such file"),
        ("postgresql://{app}@localhost:{port}/app?sslmode=verify-full", "set sslrootcert to one, or to system"),
        ("postgresql://with_certificate@localhost:{port}/app", "certificate"),
    ],
)
async def test_a_wrong_string_is_refused_at_the_start_with_the_remedy(
    server: TlsServer, text: str, reason: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    failure = await probe(filled(Case(text, REFUSAL), server, 1)[0])
    assert failure is not None
    assert not failure.heals
    assert reason in failure.reason
