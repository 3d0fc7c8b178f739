import re
import tempfile
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import run_command

PROJECT = Path(__file__).resolve().parents[2]


def breakwater(*arguments, **settings):
    return run_command(*arguments, environment={f"BREAKWATER_{name}": value for name, value in settings.items()})


def test_config_prints_every_setting_and_no_secret():
    shown = breakwater("config", DATABASE_URL="postgresql://u:geheim@h/d", LEASE_SECONDS="12.5")
    assert shown.returncode == 0
    assert "BREAKWATER_DATABASE_URL=postgresql://u:***@h/d\n" in shown.stdout
    assert "BREAKWATER_LEASE_SECONDS=12.5\n" in shown.stdout
    assert "# BREAKWATER_REDIS_URL is not set: embedded\n" in shown.stdout
    assert "geheim" not in shown.stdout


def test_variables_of_commands_that_ask_a_service_are_no_wrong_settings_and_are_not_printed():
    shown = breakwater("config", URL="http://elsewhere.example", API_KEY="bw_geheim", API_KEY_FILE="geheim")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert not {word for word in ("geheim", "elsewhere") if word in shown.stdout}
    assert breakwater("config", URLS="http://elsewhere.example").returncode == 2


def test_the_files_that_the_reference_shows_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_API_KEY", "geheim")
    monkeypatch.setenv("ERP_URL", "postgresql://erp/erp")
    reference = (PROJECT / "docs/reference/configuration.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", reference, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        path = tmp_path / "b.toml"
        path.write_text(example)
        shown = breakwater("config", CONFIG=str(path))
        assert shown.returncode == 0, shown.stderr
        printed = shown.stdout[shown.stdout.index("default_provider") :].replace(f"{tmp_path}/", "")
        assert tomllib.loads(printed) == tomllib.loads(example)


def test_config_prints_the_file_as_toml(tmp_path):
    path = tmp_path / "b.toml"
    text = '[providers."my own"]\ntype = "openai"\n\n[providers."my own".base_urls]\nus-east = "http://x/v1?a=b"\n'
    path.write_text(text)
    shown = breakwater("config", CONFIG=str(path)).stdout
    assert shown.endswith(text)


def test_config_prints_no_secret_of_the_file(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(
        '[providers.x]\ntype = "openai"\napi_key_env = "ghp_0123456789abcdef0123456789abcdef0123"\n'
        '[providers.x.base_urls]\nus-east = "http://x/v1?token=geheim&v=1"\n'
        '[questions]\nq = "Is sk-proj-0123456789abcdef-geheim a key?"\n'
    )
    shown = breakwater("config", CONFIG=str(path))
    assert shown.returncode == 0, shown.stderr
    assert "http://x/v1?token=[redacted]&v=1" in shown.stdout
    assert "Is [redacted] a key?" in shown.stdout
    assert not {word for word in ("geheim", "ghp_") if word in shown.stdout}


@pytest.mark.parametrize("command", ["run", "api", "worker", "migrate", "config"])
def test_a_wrong_setting_ends_any_command_with_one_sentence_and_exit_code_2(command):
    refused = breakwater(command, LEASE_SECONDS="soon")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "BREAKWATER_LEASE_SECONDS" in refused.stderr


def test_a_worker_without_a_run_to_join_names_the_remedy():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        alone = breakwater("worker", DATA_DIR=f"{folder}/data", DATABASE_URL="postgresql://h/d")
    assert alone.returncode == 1
    assert "BREAKWATER_REDIS_URL" in alone.stderr


def test_a_database_that_cannot_be_reached_is_one_sentence_without_its_password():
    refused = breakwater(
        "migrate", DATABASE_URL="postgresql://u:geheim@127.0.0.1:1/d", REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "BREAKWATER_DATABASE_URL" in refused.stderr
    assert "geheim" not in refused.stderr
