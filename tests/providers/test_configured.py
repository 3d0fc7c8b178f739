"""What of a committed configuration a worker serves: pools, identities, batch sizes; nothing without its key."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from configuration.agreement import agree
from configuration.content import Configuration, Content, identities_of
from runtime.config_file import ConfigFile, read_config_file
from runtime.configured_secrets import read_secrets
from runtime.settings import load_settings
from tests.providers.calls import call
from worker.providers.configured import Providers, Serving

Serve = Callable[..., Serving]


@pytest.fixture
async def serve(monkeypatch, tmp_path) -> AsyncIterator[Serve]:
    """Serve a TOML text, or simulate without one, under these variables; identities are numbered from 1."""
    made: list[Providers] = []

    def serve(text: str = "", **variables: str) -> Serving:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        path = tmp_path / "breakwater.toml"
        path.write_text(text)
        content = Content(read_config_file(path) if text else ConfigFile(), is_simulated=not text)
        numbers = {identity.key: number for number, identity in enumerate(identities_of(content), 1)}
        configuration = Configuration(1, content, datetime.now(UTC), "a test", numbers)
        settings, secrets = load_settings(), read_secrets(content.file)
        made.append(Providers(settings))
        return made[-1].serve(configuration, secrets, agree(settings, configuration, secrets.reasons))

    yield serve
    for providers in made:
        await providers.aclose()


REGIONS = ("us-east", "eu-west", "asia-pacific")
TOML = """
[providers.chat]
type = "openai"
max_concurrent = 4
[providers.chat.base_urls]
eu-west = "http://127.0.0.1:9/v1"
us-east = "http://127.0.0.1:9/v1"

[providers.router]
type = "hybrid_router"
max_concurrent = 5000
[providers.router.base_urls]
asia-pacific = "http://127.0.0.1:9"

[providers.trial]
type = "echo"
"""


def test_simulating_echo_serves_every_name_at_once(serve):
    serving = serve()
    assert serving.pool_of("anyone") == serving.pool_of("hybrid")
    assert (serving.pool_of("anyone").provider, serving.pool_of("anyone").batch_cells) == ("echo", 250)
    assert serving.instant == {("echo", region): [number] for number, region in enumerate(REGIONS, 1)}
    assert serving.called == {}


def test_an_echo_that_waits_is_called_in_batches_of_an_unlimited_pool(serve):
    serving = serve(BREAKWATER_ECHO_DELAY_SECONDS="0.1")
    assert serving.pool_of("anyone").batch_cells == 10
    assert set(serving.called) == {("echo", region) for region in REGIONS}
    assert serving.instant == {}


def test_a_provider_serves_the_regions_that_it_has_a_url_for(serve):
    serving = serve(TOML)
    assert set(serving.called) == {("chat", "us-east"), ("chat", "eu-west"), ("router", "asia-pacific")}
    assert set(serving.instant) == {("trial", region) for region in REGIONS}


def test_a_batch_of_calls_has_about_as_many_cells_as_calls_in_flight(serve):
    serving = serve(TOML)
    assert [serving.pool_of(name).batch_cells for name in ("chat", "router", "trial")] == [4, 50, 250]


def test_an_echo_that_waits_has_the_limit_of_its_table(serve):
    serving = serve("[providers.e]\ntype = 'echo'\nmax_concurrent = 3", BREAKWATER_ECHO_DELAY_SECONDS="1")
    assert serving.pool_of("e").batch_cells == 3
    assert set(serving.called) == {("e", region) for region in REGIONS}


def test_a_provider_that_is_not_configured_serves_nothing(serve):
    with pytest.raises(LookupError):
        serve(TOML).pool_of("hybrid")


def test_a_provider_whose_key_is_missing_is_planned_for_and_not_served(serve):
    serving = serve(TOML.replace("max_concurrent = 4", 'api_key_env = "CHAT_KEY"'))
    assert ("chat", "us-east") in serving.identity_nos_by_pool
    assert serving.pool_of("chat").provider == "chat"
    assert set(serving.called) == {("router", "asia-pacific")}
    assert serving.standing.not_served == {"providers.chat": "CHAT_KEY isn't in the environment: set CHAT_KEY."}
    assert not set(serving.identity_nos_by_pool["chat", "us-east"]) & set(serving.providers)


async def test_the_settings_reach_the_call(serve, provider):
    text = provider.config(name="chat", api_key_env="CHAT_KEY", timeout_seconds=9) + provider.config(
        name="router", kind="hybrid_router", regions=("eu-west",)
    )
    serving = serve(text, CHAT_KEY="sk-geheim")
    pools = (("chat", "us-east"), ("router", "eu-west"))
    (chat_no,), (router_no,) = (serving.identity_nos_by_pool[pool] for pool in pools)
    await serving.providers[chat_no].answer(call())
    await serving.providers[router_no].answer(call(region="eu-west"))
    chat, router = provider.calls
    assert (chat.path, chat.headers["authorization"]) == ("/us-east/v1/chat/completions", "Bearer sk-geheim")
    assert (router.path, "authorization" in router.headers) == ("/eu-west/v1/inference", False)
    assert {provider.name for provider in serving.providers.values()} == {"chat", "router"}
