"""The part of a configuration that a worker serves: pools with their identities, batch sizes and providers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from configuration.content import Configuration, registry_of
from db.batches import PoolKey, Pools
from db.workers import Standing
from domain.identities import IdentityKind
from domain.plan import Pool
from domain.registry import ECHO
from runtime.config_file import ProviderSettings, ProviderType
from runtime.configured_secrets import Secrets
from runtime.settings import Settings
from worker.providers import hybrid_router, openai
from worker.providers.echo import Echo
from worker.providers.http import Address, Dialect, HttpProvider, open_client
from worker.providers.protocol import Provider

INSTANT_BATCH_CELLS = 250
UNLIMITED_BATCH_CELLS = 10
MAX_CALLED_BATCH_CELLS = 50
DIALECTS: Mapping[ProviderType, Dialect] = {
    ProviderType.OPENAI: openai,
    ProviderType.HYBRID_ROUTER: hybrid_router,
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The part of a configuration that a worker serves.

    `identity_nos_by_pool` holds the pools of all providers, since any worker may plan for them; a pool that is kept for
    some tenants has an identity for each. Pools that this worker can serve are `called` (with counted calls) or
    `instant`. `source_nos` are the identities of the sources that it can
    read. `providers` answer for identities, by number.
    """

    configuration: Configuration
    pool_by_provider: Mapping[str, Pool]
    identity_nos_by_pool: Pools
    called: Pools
    instant: Pools
    source_nos: Sequence[int]
    providers: Mapping[int, Provider]
    standing: Standing

    def pool_of(self, provider: str) -> Pool:
        """Return the pool for models of this provider; raises LookupError if it isn't configured."""
        return self.pool_by_provider[ECHO if self.configuration.content.is_simulated else provider]


class Providers:
    """Makes the providers of configurations. They share an HTTP client, which lives as long as the worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._echo = Echo(delay_seconds=settings.echo_delay_seconds, failure_rate=settings.echo_failure_rate)
        self._client: httpx2.AsyncClient | None = None

    def serve(self, configuration: Configuration, secrets: Secrets, standing: Standing) -> Serving:
        """Return the part of a configuration for which this worker has keys and URLs."""
        by_provider = configuration.content.providers
        is_simulated = configuration.content.is_simulated
        identity_nos_by_pool = _identity_nos_by_pool(configuration)
        served = {
            pool: numbers
            for pool, numbers in identity_nos_by_pool.items()
            if f"providers.{pool[0]}" not in secrets.reasons
        }
        provider_by_pool = {pool: self._provider(configuration, pool, by_provider[pool[0]], secrets) for pool in served}
        return Serving(
            configuration=configuration,
            pool_by_provider={
                name: _pool(name, None if is_simulated else provider.max_concurrent, calls=self._calls(provider))
                for name, provider in by_provider.items()
            },
            identity_nos_by_pool=identity_nos_by_pool,
            called={pool: numbers for pool, numbers in served.items() if provider_by_pool[pool].makes_calls},
            instant={pool: numbers for pool, numbers in served.items() if not provider_by_pool[pool].makes_calls},
            source_nos=_source_identities(configuration, secrets),
            providers={number: provider_by_pool[pool] for pool, numbers in served.items() for number in numbers},
            standing=standing,
        )

    async def aclose(self) -> None:
        """Close the connections of the providers."""
        if self._client is not None:
            await self._client.aclose()

    def _calls(self, provider: ProviderSettings) -> bool:
        return provider.type is not ProviderType.ECHO or self._echo.makes_calls

    def _provider(
        self, configuration: Configuration, pool: PoolKey, provider: ProviderSettings, secrets: Secrets
    ) -> Provider:
        if provider.type is ProviderType.ECHO:
            return self._echo
        if self._client is None:
            self._client = open_client(self._settings.worker_concurrency)
        name, region = pool
        canonical = registry_of(configuration.content, max_cells=self._settings.max_cells).canonical
        address = Address(
            base_urls={region: httpx2.URL(str(provider.base_urls[region]))},
            timeout_seconds=provider.timeout_seconds,
            api_key=secrets.values[provider.api_key_env] if provider.api_key_env else None,
            canonical=canonical,
            other_secrets=_keys_of_all(configuration, secrets),
        )
        return HttpProvider(name, DIALECTS[provider.type], address, self._client)


def _keys_of_all(configuration: Configuration, secrets: Secrets) -> Sequence[SecretStr]:
    """Return the keys of all providers and sources; a source's URL alone is no secret, its password is in no answer."""
    urls = {connection.url_env for connection in configuration.content.file.connections.values()}
    return [value for variable, value in secrets.values.items() if variable not in urls]


def _identity_nos_by_pool(configuration: Configuration) -> Pools:
    found: dict[PoolKey, list[int]] = {}
    for key, number in configuration.identity_nos.items():
        if key.kind is IdentityKind.PROVIDER:
            found.setdefault((key.name, key.region), []).append(number)
    return found


def _source_identities(configuration: Configuration, secrets: Secrets) -> list[int]:
    return [
        number
        for key, number in configuration.identity_nos.items()
        if key.kind is not IdentityKind.PROVIDER and f"connections.{key.name}" not in secrets.reasons
    ]


def _pool(name: str, limit: int | None, *, calls: bool) -> Pool:
    """Return a provider's pool; a batch has as many cells as calls may be in flight, so it lasts about one call."""
    if not calls:
        return Pool(name, INSTANT_BATCH_CELLS)
    return Pool(name, UNLIMITED_BATCH_CELLS if limit is None else min(limit, MAX_CALLED_BATCH_CELLS))
