"""The compose file is YAML; its services start existing commands, mount existing paths and reach each other."""

import re
import tomllib
from typing import Any

import yaml

from runtime.settings import PREFIX, Settings
from tests.deploy.alert_rules import ROOT

DEPLOY = ROOT / "deploy"


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if service["image"].startswith("breakwater:")}


def test_every_process_of_the_service_runs_and_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in ours().values()} == {f"breakwater:{version}"}
    assert {tuple(service["command"]) for service in ours().values()} >= {("migrate",), ("api",), ("worker",)}
    assert {(DEPLOY / service["build"]["context"]).resolve() for service in ours().values()} == {ROOT}


def test_every_setting_of_the_compose_file_is_one() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
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


def test_services_are_asked_at_names_that_they_can_reach() -> None:
    networks = {name: set(service["networks"]) for name, service in services().items()}
    urls = ours()["api"]["environment"].values()
    for store in re.findall(r"(?:@|//)([a-z]+):\d+", " ".join(urls)):
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
