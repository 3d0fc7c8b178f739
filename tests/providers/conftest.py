"""A provider server for each test, and real providers that call it."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from tests.providers.calls import TIMEOUT_SECONDS, canonical
from worker.providers import hybrid_router, openai
from worker.providers.http import Address, HttpProvider, open_client

Providers = Callable[..., HttpProvider]


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client as a worker has it."""
    client = open_client(100)
    yield client
    await client.aclose()


@pytest.fixture
def at(client: httpx2.AsyncClient) -> Providers:
    """Make a provider at a URL: `at(url)`, `at(url, dialect=hybrid_router, key="…")`."""

    def make(url, *, dialect=openai, key=None, timeout_seconds=TIMEOUT_SECONDS, client=client):
        urls = {region: httpx2.URL(f"{url}/{region}/v1") for region in ("us-east", "eu-west")}
        return HttpProvider("hybrid", dialect, Address(urls, timeout_seconds, key, canonical), client)

    return make


@pytest.fixture
def chat(provider, at) -> HttpProvider:
    """An OpenAI provider at the server."""
    return at(provider.url)


@pytest.fixture
def router(provider, at) -> HttpProvider:
    """A hybrid router at the server."""
    return at(provider.url, dialect=hybrid_router)
