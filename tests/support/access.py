"""API keys for tests: made by the command's own way, in the database that an API uses."""

import asyncpg
import httpx2

from db import api_keys, tenants
from db.api_keys import NewKey
from domain.key_limits import NO_LIMITS, KeyLimits
from domain.scopes import Scope


async def make_tenant(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> int:
    """A tenant's number."""
    made = await tenants.create_tenant(connection, name)
    assert made is not None
    return made.tenant_no


async def make_key(
    connection: "asyncpg.Connection[asyncpg.Record]",
    *scopes: Scope,
    tenant: str = "default",
    expires_in_seconds: float | None = None,
    limits: KeyLimits = NO_LIMITS,
) -> str:
    """The text of a new key with these scopes, or with all."""
    new = NewKey(tenant, "a test's", scopes or tuple(Scope), limits, expires_in_seconds)
    made = await api_keys.create_key(connection, new, by="a test")
    assert made is not None
    return made[1].text


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


class AsKey:
    """A client's requests under one key."""

    def __init__(self, http: httpx2.AsyncClient, key: str) -> None:
        self._http, self._headers = http, bearer(key)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """GET under the key."""
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """POST under the key."""
        return await self.send("POST", path, body, **headers)

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Send a request under the key."""
        return await self._http.request(method, path, json=body, headers={**self._headers, **headers})
