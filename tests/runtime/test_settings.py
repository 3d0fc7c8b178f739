import os

import pytest

from runtime.configured_secrets import read_secrets
from runtime.errors import SettingError
from runtime.settings import load_settings, redacted


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("BREAKWATER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def configure(monkeypatch, tmp_path):
    def write(text):
        path = tmp_path / "breakwater.toml"
        path.write_text(text)
        monkeypatch.setenv("BREAKWATER_CONFIG", str(path))

    return write


def test_defaults_serve_one_machine():
    settings = load_settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert (settings.config, settings.file, settings.simulate) == (None, None, False)


def test_idle_connections_are_kept_longer_than_load_balancers_and_pools_keep_them():
    assert load_settings().keep_alive_seconds > 60


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PORT", "x", "BREAKWATER_PORT"),
        ("PORT", "0", "from 1 to 65535"),
        ("WORKERS", "1.5", "BREAKWATER_WORKERS"),
        ("LEASE_SECONDS", "nan", "BREAKWATER_LEASE_SECONDS"),
        ("LEASE_SECONDS", "-1", "BREAKWATER_LEASE_SECONDS"),
        ("LEASE_SECONDS", "10", "set the heartbeat below 5"),
        ("HEARTBEAT_SECONDS", "15", "BREAKWATER_HEARTBEAT_SECONDS"),
        ("RECONCILE_SECONDS", "30.5", "BREAKWATER_RECONCILE_SECONDS"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("ECHO_FAILURE_RATE", "1.1", "from 0 to 1"),
        ("LEESE_SECONDS", "3", "did you mean BREAKWATER_LEASE_SECONDS"),
        ("DATABASE_URL", "mysql://root:geheim@host/db", "postgresql://"),
        ("REDIS_URL", "localhost", "redis://"),
        ("CONFIG", "/nowhere/b.toml", "BREAKWATER_CONFIG"),
        ("ALLOWED_HOSTS", "https://jobs.example", "names, addresses or networks, separated by commas"),
        ("ALLOWED_HOSTS", "*", "names, addresses or networks, separated by commas"),
        ("TRUSTED_PROXIES", "*", "addresses or networks, separated by commas"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "addresses or networks, separated by commas"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(monkeypatch, name, value, wanted):
    monkeypatch.setenv(f"BREAKWATER_{name}", value)
    with pytest.raises(SettingError) as refused:
        load_settings()
    assert wanted in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_fractions_and_the_bounds_of_the_nesting_are_taken(monkeypatch):
    for name, value in (("LEASE_SECONDS", "1"), ("HEARTBEAT_SECONDS", "0.4"), ("RECONCILE_SECONDS", "1")):
        monkeypatch.setenv(f"BREAKWATER_{name}", value)
    assert load_settings().heartbeat_seconds == 0.4


def test_an_empty_variable_counts_as_unset_and_levels_are_taken_in_any_case(monkeypatch):
    monkeypatch.setenv("BREAKWATER_DATABASE_URL", "")
    monkeypatch.setenv("BREAKWATER_LOG_LEVEL", "DEBUG")
    assert load_settings().database_url is None
    assert load_settings().log_level == "debug"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("region = 3", "did you mean regions"),
        ("[providers.h]\ntype = 'echo'\nmax_conc = 3", "did you mean max_concurrent"),
        ("[providers.h]\ntype = 'grpc'", "providers.h.type"),
        ("[providers.h]\ntimeout_seconds = 3", "providers.h.type"),
        ("[providers.h]\ntype = 'openai'", "base_urls"),
        ("[providers.h]\ntype = 'openai'\n[providers.h.base_urls]\nmars = 'http://x'", "mars"),
        ("[providers.h]\ntype = 'openai'\n[providers.h.base_urls]\nus-east = 'ftp://u:geheim@x'", "base_urls"),
        ("[providers.h]\ntype = 'openai'\n[providers.h.base_urls]\nus-east = 'http://u:geheim@x'", "api_key_env"),
        ("[providers.h]\ntype = 'openai'\n[providers.h.base_urls]\nus-east = 'http://geheim@x'", "api_key_env"),
        ("[providers.h]\ntype = 'openai'\n[providers.h.base_urls]\nus-east = 'http://x/v1#y'", "base_urls.us-east"),
        ("[providers.echo]\ntype = 'openai'\n[providers.echo.base_urls]\nus-east = 'http://x'", "another name"),
        ("[providers.h]\ntype = 'echo'\ntimeout_seconds = 0", "providers.h.timeout_seconds"),
        ("[providers.h]\ntype = 'echo'\ntimeout_seconds = 86401", "at most 86400"),
        ("[providers.h]\ntype = 'echo'\nmax_concurrent = 0", "providers.h.max_concurrent"),
        ("default_provider = 'h'\n[providers.i]\ntype = 'echo'", "which is no provider: name one of them (i)"),
        ("default_provider = 'h'", "none is configured"),
        ("[connections.erp]\ntype = 'oracle'\nurl_env = 'HOME'", "connections.erp.type"),
        ("[connections.erp]\ntype = 'oracle'\nurl_env = 'HOME'", "set it to postgresql, suiteql or mysql."),
        ("[connections.m]\ntype = 'mysql'\nurl_env = 'HOME'\ntoken_env = 'HOME'", "mysql, which takes no token_env"),
        ("[connections.m]\ntype = 'mysql'\nurl_env = 'HOME'\ntables = ['a']", "connections.m.tables.0"),
        ("[connections.m]\ntype = 'mysql'\ntables = ['a.b']", "connections.m.url_env"),
        ("[connections.m]\ntype = 'mysql'\nurl_env = 'HOME'\ntable = ['a.b']", "did you mean tables"),
        ("connections.erp = 3", "a table [connections.<name>]"),
        ("[connections.erp]\nurl_env = 'HOME'\ntoken_env = 'HOME'", "connections.erp"),
        ("[connections.erp]\nurl_env = 'HOME'\n[connections.erp.queries]\na = 'SELECT 1'", "takes no token_env"),
        ("[connections.ns]\ntype = 'suiteql'\nurl_env = 'HOME'\ntoken_env = 'HOME'", "add token_env and a table"),
        ("[connections.ns]\ntype = 'suiteql'\nurl_env = 'HOME'\ntables = ['a.b']", "takes no tables"),
        ("[connections.erp]\nurl_env = 'HOME'\ntables = ['orders']", "connections.erp.tables.0"),
        ("[connections.erp]\nurl_env = 'HOME'\ntables = ['a.b', 'public.a.b']", "connections.erp.tables.1"),
        ("[connections.erp]\nurl_env = 'HOME'\ntables = ['a.\"b']", "schema.table"),
        ("[connections.erp]\nurl_env = 'HOME'\ntables = 'a.b'", "a list of tables"),
        ("[connections.ns]\ntype = 'suiteql'\nurl_env = 'HOME'\n[connections.ns.queries]\na = 'b'", "add token_env"),
        (
            "[connections.n]\ntype = 'suiteql'\nurl_env = 'HOME'\ntoken_env = 'HOME'\n[connections.n.queries]\na = ''",
            "connections.n.queries.a",
        ),
        ("[regions.a]\naliases = ['X']\n[regions.b]\naliases = [' x']", "regions.a"),
        ("[regions.a]\naliases = ['B']\n[regions.b]", "regions.b"),
        ("[questions]\nq = ''", "questions.q"),
        ("regions = [", "isn't TOML"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_the_place(configure, text, wanted):
    configure(text)
    with pytest.raises(SettingError) as refused:
        load_settings()
    assert wanted in str(refused.value)
    assert "breakwater.toml" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "geheim" not in str(refused.value)


CHAT = "[providers.hybrid]\ntype = 'openai'\n{settings}[providers.hybrid.base_urls]\n{urls}\n"


def chat(settings="", urls="us-east = 'http://127.0.0.1:9001/v1'"):
    return CHAT.format(settings=settings, urls=urls)


def test_the_key_of_a_provider_is_never_shown(configure, monkeypatch):
    monkeypatch.setenv("HYBRID_KEY", "geheim")
    configure(chat("api_key_env = 'HYBRID_KEY'\n"))
    found = read_secrets(load_settings().file)
    assert found.values["HYBRID_KEY"].get_secret_value() == "geheim"
    assert "geheim" not in repr(found)
    assert found.reasons == {}


@pytest.mark.parametrize("key", [None, "", "geheim geheim", "geheim\n", "geheim\r\nX-Injected: 1", "gehe\u00efm"])
def test_a_provider_without_a_key_that_can_be_sent_is_not_served_and_why_shows_no_key(configure, monkeypatch, key):
    if key is not None:
        monkeypatch.setenv("HYBRID_KEY", key)
    configure(chat("api_key_env = 'HYBRID_KEY'\n"))
    found = read_secrets(load_settings().file)
    (reason,) = found.reasons.values()
    assert list(found.reasons) == ["providers.hybrid"]
    assert reason.startswith("HYBRID_KEY ")
    assert "gehe" not in reason
    assert found.values == {}


def test_the_import_root_is_relative_to_the_file(configure, tmp_path):
    configure("[imports]\nroot = 'data/imports'")
    assert load_settings().file.imports.root == tmp_path / "data/imports"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:geheim@h:5/d", "postgresql://u:***@h:5/d"),
        ("postgresql://u@/d?host=/a%20b&password=geheim", "postgresql://u@/d?host=/a%20b&password=***"),
        ("redis://:geheim@h/0", "redis://:***@h/0"),
        ("redis://h/0", "redis://h/0"),
        ("https://h/v1?token=geheim&api-version=1", "https://h/v1?token=***&api-version=1"),
        ("https://h/v1?key=geheim", "https://h/v1?key=***"),
    ],
)
def test_no_password_is_shown(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("", "https://host/db"),
        ("type = 'mysql'", "postgresql://h/d"),
        ("type = 'mysql'", "mysql://u:geheim@h/d?ssl-mode=sometimes"),
        ("type = 'suiteql'\ntoken_env = 'TOKEN'\n[connections.x.queries]\nq = 'SELECT 1'", "postgresql://h/d"),
        ("type = 'suiteql'\ntoken_env = 'TOKEN'\n[connections.x.queries]\nq = 'SELECT 1'", "https://u:geheim@h"),
    ],
)
def test_a_connection_whose_url_is_of_another_type_is_not_served_and_why_shows_none_of_it(
    configure, monkeypatch, kind, url
):
    monkeypatch.setenv("X_URL", url)
    monkeypatch.setenv("TOKEN", "geheim")
    configure(f"[connections.x]\nurl_env = 'X_URL'\n{kind}")
    reason = read_secrets(load_settings().file).reasons["connections.x"]
    assert reason.startswith("X_URL ")
    assert url not in reason


def test_a_connection_without_its_variables_is_not_served(configure, monkeypatch):
    monkeypatch.setenv("NS_URL", "https://1.suitetalk.api.netsuite.com")
    suiteql = "type = 'suiteql'\nurl_env = 'NS_URL'\ntoken_env = 'NOT_THERE'\n[connections.ns.queries]\nq = 'SELECT 1'"
    configure(f"[connections.erp]\nurl_env = 'NOT_HERE'\n[connections.ns]\n{suiteql}")
    reasons = read_secrets(load_settings().file).reasons
    assert reasons == {
        "connections.erp": "NOT_HERE isn't in the environment: set NOT_HERE.",
        "connections.ns": "NOT_THERE isn't in the environment: set NOT_THERE.",
    }
