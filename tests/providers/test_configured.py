"""What of the settings' providers a worker serves: pools, limits and batch sizes."""

import pytest

from domain.plan import NotServed
from runtime.settings import load_settings
from tests.providers.calls import call
from worker.providers.configured import serve


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Settings from a TOML text and variables."""

    def load(text="", **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if text:
            path = tmp_path / "breakwater.toml"
            path.write_text(text)
            monkeypatch.setenv("BREAKWATER_CONFIG", str(path))
        return load_settings()

    return load


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


def test_without_providers_echo_serves_every_name_at_once(settings):
    serving = serve(settings())
    assert serving.pool_of("anyone") == serving.pool_of("hybrid")
    assert (serving.pool_of("anyone").provider, serving.pool_of("anyone").batch_cells) == ("echo", 250)
    assert serving.instant_pools == tuple(("echo", region) for region in REGIONS)
    assert serving.limits == {}


def test_an_echo_that_waits_is_called_without_a_limit(settings):
    serving = serve(settings(BREAKWATER_ECHO_DELAY_SECONDS="0.1"))
    assert serving.pool_of("anyone").batch_cells == 10
    assert serving.limits == {("echo", region): None for region in REGIONS}
    assert serving.instant_pools == ()


async def test_a_provider_serves_the_regions_that_it_has_a_url_for(settings):
    serving = serve(settings(TOML))
    assert set(serving.limits) == {("chat", "us-east"), ("chat", "eu-west"), ("router", "asia-pacific")}
    assert serving.instant_pools == tuple(("trial", region) for region in REGIONS)
    await serving.aclose()


async def test_only_pools_that_are_called_have_a_limit(settings):
    serving = serve(settings(TOML))
    assert serving.limits == {("chat", "us-east"): 4, ("chat", "eu-west"): 4, ("router", "asia-pacific"): 5000}
    await serving.aclose()


async def test_a_batch_of_calls_is_about_what_may_be_in_flight(settings):
    serving = serve(settings(TOML))
    assert [serving.pool_of(name).batch_cells for name in ("chat", "router", "trial")] == [4, 50, 250]
    await serving.aclose()


def test_an_echo_that_waits_has_the_limit_of_its_table(settings):
    serving = serve(settings("[providers.e]\ntype = 'echo'\nmax_concurrent = 3", BREAKWATER_ECHO_DELAY_SECONDS="1"))
    assert serving.pool_of("e").batch_cells == 3
    assert serving.limits == {("e", region): 3 for region in REGIONS}


async def test_a_provider_that_is_not_configured_serves_nobody(settings):
    serving = serve(settings(TOML))
    with pytest.raises(NotServed) as refused:
        serving.pool_of("hybrid")
    assert refused.value.code == "provider_not_configured"
    assert "hybrid" in refused.value.detail
    await serving.aclose()


async def test_the_settings_reach_the_call(settings, provider):
    text = provider.config(name="chat", api_key_env="CHAT_KEY", timeout_seconds=9) + provider.config(
        name="router", kind="hybrid_router", regions=("eu-west",)
    )
    serving = serve(settings(text, CHAT_KEY="sk-geheim"))
    await serving.providers["chat"].answer(call())
    await serving.providers["router"].answer(call(region="eu-west"))
    await serving.aclose()
    chat, router = provider.calls
    assert (chat.path, chat.headers["authorization"]) == ("/us-east/v1/chat/completions", "Bearer sk-geheim")
    assert (router.path, "authorization" in router.headers) == ("/eu-west/v1/inference", False)
    assert {one.name for one in serving.providers.values()} == {"chat", "router"}
