"""The compose file is YAML; its services start existing commands, mount existing paths and reach each other.

What a service may do is as little as it needs, and its secrets are files, which `deploy/make-secrets` makes.
"""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import yaml

from launcher.accounts import caller
from launcher.address import refuse_unsafe_address
from launcher.binaries import find_valkey
from runtime.secret_files import SUFFIX
from runtime.settings import PREFIX, SECRET_SETTINGS, Settings, load_settings
from tests.deploy.alert_rules import ROOT
from tests.support.waiting import eventually

DEPLOY = ROOT / "deploy"


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if service["image"].startswith("breakwater:")}


def make_secrets(deploy: Path, **environment: str) -> Path:
    """Run a copy of `make-secrets`; return the folder of the secrets."""
    deploy.mkdir(exist_ok=True)
    shutil.copy(DEPLOY / "make-secrets", deploy)
    subprocess.run([deploy / "make-secrets"], check=True, env={"PATH": "/usr/bin:/bin", **environment})
    return deploy / "secrets"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of new secrets."""
    return make_secrets(tmp_path / "deploy")


def test_every_process_of_the_service_runs_and_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in ours().values()} == {f"breakwater:{version}"}
    assert {tuple(service["command"]) for service in ours().values()} >= {("migrate",), ("api",), ("worker",)}
    assert {(DEPLOY / service["build"]["context"]).resolve() for service in ours().values()} == {ROOT}


def test_every_setting_of_the_compose_file_is_one() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}{SUFFIX}" for name in SECRET_SETTINGS}
    given = {name for service in ours().values() for name in service["environment"] if name.startswith(PREFIX)}
    assert given
    assert given - known == set()


def test_host_mounts_exist_and_other_volumes_are_declared() -> None:
    declared = compose()
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in declared["volumes"], volume
        assert set(service["networks"]) <= declared["networks"].keys()
        assert set(service.get("depends_on", {})) <= declared["services"].keys()


def test_services_are_asked_at_names_that_they_can_reach(made: Path) -> None:
    networks = {name: set(service["networks"]) for name, service in services().items()}
    stores = [urlsplit((made / name).read_text()).hostname or "" for name in ("database_url", "redis_url")]
    assert stores == ["postgres", "valkey"]
    for store in stores:
        assert all(networks[store] & set(service["networks"]) for service in ours().values()), store
    scraping = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {name for job in scraping for found in job["dns_sd_configs"] for name in found["names"]}
    assert scraped == {"api"}
    assert networks["prometheus"] & networks["api"]
    assert networks["grafana"] & networks["prometheus"]


def test_only_this_host_reaches_the_service_and_no_host_the_stores() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published.keys() == {"api", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert compose()["networks"]["stores"]["internal"] is True


@pytest.mark.parametrize("name", services())
def test_a_service_may_do_as_little_as_it_needs(name: str) -> None:
    service = services()[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["image"].startswith("breakwater:") or re.search(r":[\w.]+@sha256:[0-9a-f]{64}$", service["image"])


def test_secrets_are_files_that_are_made_and_that_git_and_the_image_leave_out(made: Path) -> None:
    declared = compose()["secrets"]
    assert {file["file"] for file in declared.values()} == {f"secrets/{path.name}" for path in made.iterdir()}
    used = {secret for service in services().values() for secret in service.get("secrets", [])}
    assert used == declared.keys()
    environments = [service.get("environment", {}) for service in services().values()]
    named = {value for variables in environments for name, value in variables.items() if name.endswith("_FILE")}
    assert named <= {f"/run/secrets/{name}" for name in declared}
    plain = [name for variables in environments for name in variables if re.search("PASSWORD$|SECRET$|KEY$|URL$", name)]
    assert plain == []
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_secrets_are_random_and_made_once_and_only_their_owner_can_enter_their_folder(tmp_path: Path) -> None:
    first, other = make_secrets(tmp_path / "first"), make_secrets(tmp_path / "other")
    contents = {path.name: path.read_text() for path in first.iterdir()}
    assert first.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in first.iterdir())
    assert all((other / name).read_text() != content for name, content in contents.items())
    secrets = [re.findall("[0-9a-f]{48}", content) for content in contents.values()]
    assert all(len(found) == 1 for found in secrets)
    assert len({found[0] for found in secrets}) == 4  # of PostgreSQL's two roles, Valkey and Grafana
    make_secrets(tmp_path / "first", POSTGRES_PASSWORD="another")  # noqa: S106
    assert {path.name: path.read_text() for path in first.iterdir()} == contents


def test_the_password_of_an_earlier_deployment_is_kept(tmp_path: Path) -> None:
    made = make_secrets(tmp_path / "deploy", POSTGRES_PASSWORD="0earlier0")  # noqa: S106
    assert (made / "postgres_password").read_text() == "0earlier0\n"
    assert "//breakwater:0earlier0@" in (made / "database_url").read_text()


def test_the_processes_take_their_settings_and_the_api_listens_beyond_loopback(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, service in ours().items():
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, value.replace("/run/secrets", str(made)))
        settings = load_settings()
        assert urlsplit(settings.database_url or "").hostname == "postgres"
        assert urlsplit(settings.redis_url or "").password
        if name == "api":
            refuse_unsafe_address(settings.model_copy(update={"host": "0.0.0.0"}))  # noqa: S104  as in the image


def test_valkey_takes_no_command_without_the_password_of_its_file(made: Path, tmp_path: Path) -> None:
    program, *given = services()["valkey"]["command"]
    assert program == "valkey-server"
    given = [part.replace("/run/secrets", str(made)).replace("/data", str(tmp_path)) for part in given]
    socket = tmp_path / "s"
    command = [find_valkey(caller()), *given, "--port", "0", "--unixsocket", socket, "--daemonize", "no"]
    url = urlsplit((made / "redis_url").read_text().strip())
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: socket.exists() and asks(f"unix://:{url.password}@{socket}"))
            with pytest.raises(redis.AuthenticationError):
                asks(f"unix://{socket}")
        finally:
            server.terminate()


def asks(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return bool(client.ping())
