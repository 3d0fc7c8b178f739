"""The compose file's processes log in to PostgreSQL as a role that owns nothing, by a password in a file.

Its commands are run here against a server that asks for passwords as the image's does; Docker isn't.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from launcher.accounts import account_for_engines
from launcher.embedded import postgres_in
from launcher.folder import DataFolder
from launcher.orphan_reaper import OrphanReaper
from tests.deploy.alert_rules import ROOT
from tests.support.access import bearer
from tests.support.engines import TEST_POSTGRES_SETTINGS, engines_folder
from tests.support.processes import Ended, run_command
from tests.support.service import Process, api_client, free_port, unique

DEPLOY = ROOT / "deploy"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
ACCESS = "local all all peer map=caller\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Deployed:
    """A server as the compose file starts it, and the secrets with its real address in the place of `postgres`."""

    secrets: Path
    port: int
    binaries: Path
    redis_url: str

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def run(self, service: str, *command: str) -> Ended:
        """Run a command of ours as that service does, or its own."""
        url_file = SERVICES[service]["environment"]["BREAKWATER_DATABASE_URL_FILE"]
        environment = {
            "BREAKWATER_DATABASE_URL_FILE": url_file.replace("/run/secrets", str(self.secrets)),
            "BREAKWATER_REDIS_URL": self.redis_url,
        }
        return run_command(*(command or SERVICES[service]["command"]), environment=environment)

    def give_password(self) -> None:
        """Run the command of `service-role`, without a terminal."""
        service = SERVICES["service-role"]
        script = "".join(service["command"]).replace("$$", "$").replace("/run/secrets", str(self.secrets))
        places = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PATH": f"{self.binaries}:{os.environ['PATH']}"}
        command = [*service["entrypoint"], script]
        subprocess.run(command, env={**service["environment"], **places}, check=True, start_new_session=True)


@pytest.fixture
def deployed(tmp_path: Path, redis_url: str) -> Iterator[Deployed]:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True)
    port, secrets = free_port(), tmp_path / "secrets"
    for path in secrets.iterdir():
        path.write_text(path.read_text().replace("@postgres:5432", f"@127.0.0.1:{port}"))
    folder = Path(tempfile.mkdtemp(prefix="breakwater-test-", dir=engines_folder()))
    held = DataFolder(folder, account_for_engines()).hold()
    reaper = OrphanReaper(held.path)
    (held.path / "passwords.conf").write_text(ACCESS)
    (held.path / "passwords.conf").chmod(0o644)
    listening = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(held.path / "passwords.conf")}
    postgres = postgres_in(held, settings={**TEST_POSTGRES_SETTINGS, **listening})
    try:
        postgres.create()
        postgres.start()
        found = Deployed(secrets, port, postgres.binaries, redis_url)
        owner = f"ALTER ROLE breakwater PASSWORD '{found.secret('postgres_password')}'"  # as the image does
        at_socket = f"postgresql://breakwater@/breakwater?host={postgres.sockets}&port={port}"
        subprocess.run([postgres.binaries / "psql", "-Xqc", owner, at_socket], check=True)
        yield found
    finally:
        postgres.stop()
        reaper.dismiss()
        held.release()
        shutil.rmtree(held.path)


async def test_the_service_works_as_a_role_that_owns_nothing(
    deployed: Deployed, start_api: Callable[..., Process]
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        await asyncio.to_thread(deployed.give_password)  # there is no role yet, so nothing else starts
    assert deployed.run("migrate").returncode == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(deployed.secret("service_url"))
    await asyncio.to_thread(deployed.give_password)
    assert deployed.run("configure", "config", "apply", "--simulate").returncode == 0
    made = deployed.run("api", "keys", "create", "ci", "--tenant", "default", "--scope", "jobs:write")
    service_url = deployed.secret("service_url")
    async with api_client(start_api(service_url, deployed.redis_url, auth="keys"), service_url) as client:
        posted = await client.http.post("/jobs", json=unique(), headers=bearer(made.stdout.strip()))
        assert posted.status_code == 202, posted.text
        role = await client.database.fetchrow(
            """
            SELECT r.rolname, r.rolsuper, r.rolcreaterole, (SELECT count(*) FROM pg_class AS c WHERE c.relowner = r.oid)
            FROM pg_roles AS r
            WHERE r.rolname = session_user
            """
        )
        assert tuple(role) == ("breakwater_service", False, False, 0)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await client.database.execute("DELETE FROM audit_entries")


async def test_another_password_in_the_file_is_in_force_after_the_next_start(deployed: Deployed) -> None:
    assert deployed.run("migrate").returncode == 0
    await asyncio.to_thread(deployed.give_password)
    before = deployed.secret("service_url")
    await (await asyncpg.connect(before)).close()
    (deployed.secrets / "service_password").write_text("another one's\n")
    await asyncio.to_thread(deployed.give_password)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(before)
    await (await asyncpg.connect(before, password="another one's")).close()  # noqa: S106


def test_the_owners_password_is_where_migrations_run_and_nowhere_else() -> None:
    with_owner = {name for name, service in SERVICES.items() if "database_url" in service.get("secrets", [])}
    with_password = {name for name, service in SERVICES.items() if "postgres_password" in service.get("secrets", [])}
    assert (with_owner, with_password) == ({"migrate"}, {"postgres", "service-role"})
    for name in ("configure", "api", "worker"):
        assert SERVICES[name]["environment"]["BREAKWATER_DATABASE_URL_FILE"] == "/run/secrets/service_url", name
        assert "service_url" in SERVICES[name]["secrets"], name
    assert SERVICES["service-role"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert "service-role" in SERVICES["configure"]["depends_on"]
    assert all("configure" in SERVICES[name]["depends_on"] for name in ("api", "worker"))
    assert SERVICES["service-role"]["image"] == SERVICES["postgres"]["image"]
