"""The providers that the settings name, and what of them a worker serves: its pools, their limits and batch sizes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx2

from db.batches import PoolKey
from domain.notes import cut
from domain.plan import NotServed, Pool
from domain.regions import Registry
from runtime.config_file import ProviderSettings, ProviderType
from runtime.settings import Settings, registry
from worker.providers import hybrid_router, openai
from worker.providers.echo import Echo
from worker.providers.http import Address, Dialect, HttpProvider, open_client
from worker.providers.protocol import Provider

INSTANT_BATCH_CELLS = 250
UNLIMITED_BATCH_CELLS = 10
MOST_CALLED_BATCH_CELLS = 50
DIALECTS: Mapping[ProviderType, Dialect] = {
    ProviderType.OPENAI: openai,
    ProviderType.HYBRID_ROUTER: hybrid_router,
}


@dataclass(frozen=True, slots=True)
class Serving:
    """What a worker serves.

    `pool_of` maps a model's provider name to who serves it and raises LookupError for one that isn't configured.
    `limits` are the (provider, region) whose provider makes calls, with how many the whole fleet may have in flight
    (None: no limit); `instant_pools` are the others.
    """

    providers: Mapping[str, Provider]
    pool_of: Callable[[str], Pool]
    limits: Mapping[PoolKey, int | None]
    instant_pools: tuple[PoolKey, ...]

    async def aclose(self) -> None:
        """Let go of what the providers hold open."""
        for provider in self.providers.values():
            await provider.aclose()


def serve(settings: Settings) -> Serving:
    """Return what the settings let a worker serve: `echo` under every name while no provider is configured."""
    allowed = registry(settings)
    providers = _providers(settings, allowed)
    limit_by_provider = {name: one.max_concurrent for name, one in settings.file.providers.items()}
    pools = tuple(
        (name, region)
        for name in providers
        for region in allowed.allowed_regions
        if not allowed.unserved(name, [region])
    )
    pool_by_provider = {name: _pool(name, one, limit_by_provider.get(name)) for name, one in providers.items()}
    return Serving(
        providers=providers,
        pool_of=_named(pool_by_provider) if settings.file.providers else lambda _name: pool_by_provider[Echo.name],
        limits={pool: limit_by_provider.get(pool[0]) for pool in pools if providers[pool[0]].makes_calls},
        instant_pools=tuple(pool for pool in pools if not providers[pool[0]].makes_calls),
    )


def _providers(settings: Settings, allowed: Registry) -> Mapping[str, Provider]:
    echo = Echo(delay_seconds=settings.echo_delay_seconds, failure_rate=settings.echo_failure_rate)
    configured = settings.file.providers
    if not configured:
        return {echo.name: echo}
    if all(one.type is ProviderType.ECHO for one in configured.values()):
        return dict.fromkeys(configured, echo)
    client = open_client(settings.worker_concurrency)
    return {
        name: echo
        if one.type is ProviderType.ECHO
        else HttpProvider(name, DIALECTS[one.type], _address(one, settings, allowed), client)
        for name, one in configured.items()
    }


def _address(configured: ProviderSettings, settings: Settings, allowed: Registry) -> Address:
    return Address(
        base_urls={region: httpx2.URL(str(url)) for region, url in configured.base_urls.items()},
        timeout_seconds=configured.timeout_seconds,
        api_key=settings.secrets[configured.api_key_env] if configured.api_key_env else None,
        canonical=allowed.canonical,
    )


def _named(pool_by_provider: Mapping[str, Pool]) -> Callable[[str], Pool]:
    def pool_of(provider: str) -> Pool:
        pool = pool_by_provider.get(provider)
        if pool is None:
            detail = f"Provider {cut(provider)} isn't configured any more: configure it, and submit this again."
            raise NotServed("provider_not_configured", detail)
        return pool

    return pool_of


def _pool(name: str, provider: Provider, limit: int | None) -> Pool:
    """Return a provider's pool; a batch of calls is as many as may be in flight, so that it takes about one of them."""
    if not provider.makes_calls:
        return Pool(name, INSTANT_BATCH_CELLS)
    return Pool(name, UNLIMITED_BATCH_CELLS if limit is None else min(limit, MOST_CALLED_BATCH_CELLS))
