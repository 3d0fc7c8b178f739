"""Secrets in files: `NAME_FILE` in place of NAME, for the URLs of the stores and what a configuration names."""

import os
from pathlib import Path

import pytest

from runtime.config_file import ConfigFile
from runtime.configured_secrets import read_secrets
from runtime.errors import SettingError
from runtime.settings import load_settings, pass_urls

URL = "postgresql://u:hush@h/d"
REDIS = "rediss://:hush@h:6379/0"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BREAKWATER_")]:
        monkeypatch.delenv(name)


def written(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_urls_of_the_stores_come_from_files(monkeypatch, tmp_path, end):
    monkeypatch.setenv("BREAKWATER_DATABASE_URL_FILE", written(tmp_path / "database", URL + end))
    monkeypatch.setenv("BREAKWATER_REDIS_URL_FILE", written(tmp_path / "redis", REDIS + end))
    settings = load_settings()
    assert (settings.database_url, settings.redis_url) == (URL, REDIS)


@pytest.mark.parametrize("name", ["BREAKWATER_DATABASE_URL", "BREAKWATER_REDIS_URL"])
def test_a_value_and_a_file_at_once_are_refused(monkeypatch, tmp_path, name):
    url = URL if "DATABASE" in name else REDIS
    monkeypatch.setenv(name, url)
    monkeypatch.setenv(f"{name}_FILE", written(tmp_path / "url", url))
    with pytest.raises(SettingError, match=f"{name} and {name}_FILE are both in the environment") as refused:
        load_settings()
    assert "hush" not in str(refused.value)
    monkeypatch.setenv(name, "")
    assert url in (load_settings().database_url, load_settings().redis_url)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read"),
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{URL}\n{URL}\n", "more than one line"),
        (URL + "x" * 70_000, "more than one line"),
        (b"postgresql://u:hush\xff@h/d", "isn't text"),
        ("mysql://u:hush@h/d", "BREAKWATER_DATABASE_URL"),
    ],
)
def test_a_file_without_a_value_is_one_sentence_that_shows_none_of_it(monkeypatch, tmp_path, content, reason):
    path = tmp_path / "url"
    if content is not None:
        written(path, content)
    monkeypatch.setenv("BREAKWATER_DATABASE_URL_FILE", str(path))
    with pytest.raises(SettingError, match="BREAKWATER_DATABASE_URL") as refused:
        load_settings()
    assert reason in str(refused.value)
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["PORT_FILE", "CONFIG_FILE", "DATABASE_URL_FIL"])
def test_no_other_setting_has_a_file(monkeypatch, tmp_path, name):
    monkeypatch.setenv(f"BREAKWATER_{name}", written(tmp_path / "x", "8000"))
    with pytest.raises(SettingError, match=name):
        load_settings()


CONFIGURED = ConfigFile.model_validate(
    {
        "providers": {"x": {"type": "openai", "api_key_env": "X_KEY", "base_urls": {"us-east": "http://127.0.0.1:1"}}},
        "connections": {"erp": {"url_env": "ERP_URL"}},
    }
)


def test_keys_and_urls_that_a_configuration_names_come_from_files(monkeypatch, tmp_path):
    monkeypatch.setenv("X_KEY_FILE", written(tmp_path / "key", "sk-hush\n"))
    monkeypatch.setenv("ERP_URL_FILE", written(tmp_path / "url", f"{URL}\n"))
    found = read_secrets(CONFIGURED)
    assert found.reasons == {}
    assert {name: value.get_secret_value() for name, value in found.values.items()} == {
        "X_KEY": "sk-hush",
        "ERP_URL": URL,
    }


@pytest.mark.parametrize(
    ("content", "wanted"),
    [("sk hush", "X_KEY can't be sent"), ("", "X_KEY_FILE names"), ("sk-hush\n\nsk-hush", "X_KEY_FILE names")],
)
def test_a_wrong_file_of_a_key_leaves_its_provider_unserved(monkeypatch, tmp_path, content, wanted):
    monkeypatch.setenv("X_KEY_FILE", written(tmp_path / "key", content))
    monkeypatch.setenv("ERP_URL", URL)
    reasons = read_secrets(CONFIGURED).reasons
    assert list(reasons) == ["providers.x"]
    assert reasons["providers.x"].startswith(wanted)
    assert "hush" not in reasons["providers.x"]


def test_a_key_and_a_file_at_once_leave_its_provider_unserved(monkeypatch, tmp_path):
    monkeypatch.setenv("X_KEY", "sk-hush")
    monkeypatch.setenv("X_KEY_FILE", written(tmp_path / "key", "sk-hush"))
    monkeypatch.setenv("ERP_URL_FILE", written(tmp_path / "url", "https://hush"))
    reasons = read_secrets(CONFIGURED).reasons
    assert reasons["providers.x"] == "X_KEY and X_KEY_FILE are both in the environment: unset one of them."
    assert reasons["connections.erp"].startswith("ERP_URL can't be used")


def test_children_get_the_urls_in_place_of_the_files():
    environment = {"BREAKWATER_DATABASE_URL_FILE": "/a", "BREAKWATER_REDIS_URL_FILE": "/b", "X_KEY_FILE": "/c"}
    pass_urls(environment, database_url=URL, redis_url=REDIS)
    assert environment == {"BREAKWATER_DATABASE_URL": URL, "BREAKWATER_REDIS_URL": REDIS, "X_KEY_FILE": "/c"}
