"""Who calls: API keys are looked up in PostgreSQL, and what a look-up found is used for less than a second.

A revoked or expired key is refused by every process within that second, whatever became of Redis. Without PostgreSQL no
key can be checked, so no request is served.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog

from api.callers import Caller
from api.oidc import Token, TokenVerifier
from db import api_keys, tenants
from db.api_keys import ValidKey
from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Engine, connect, in_transaction
from domain.api_keys import ApiKey
from domain.scopes import ALL_SCOPES
from domain.sealing import Seal

FRESH_SECONDS = 0.9
"""How long a look-up serves, from its start; a revocation takes effect everywhere within a second."""
RENEW_SECONDS = 0.4
"""The age at which the next request renews a look-up, without waiting for it."""
FORGOTTEN_SECONDS = 10.0
"""How long a key that isn't used is renewed together with others."""
MOST_KEYS = 10_000
"""Look-ups that are kept at once; one more forgets all but those of valid keys that are fresh."""
NOTED_EVERY_SECONDS = 30.0

log = structlog.stdlib.get_logger()


@dataclass(slots=True)
class _LookUp:
    """What a look-up found: the caller, or None for a key that isn't valid. Times are of the monotonic clock."""

    caller: Caller | None
    looked_at: float
    valid_until: float
    used_at: float

    def is_fresh(self, now: float) -> bool:
        return now < min(self.looked_at + FRESH_SECONDS, self.valid_until)


class Authenticator:
    """Finds the callers of keys, and notes when keys were used."""

    def __init__(self, engine: Engine, tokens: TokenVerifier | None) -> None:
        self._engine = engine
        self._tokens = tokens
        self._seals: dict[str, Seal] = {}
        self._look_ups: dict[bytes, _LookUp] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._used: set[int] = set()

    async def caller_of(self, key: ApiKey) -> Caller | None:
        """Return the caller with this key, None if the key isn't valid. Raises one of UNAVAILABLE."""
        digest, now = key.digest, time.monotonic()
        found = self._look_ups.get(digest)
        if found is None or not found.is_fresh(now):
            found = (await self._look_up([digest]))[digest]
        elif now - found.looked_at > RENEW_SECONDS:
            self._renew_soon(now)
        found.used_at = now
        if found.caller is not None and found.caller.key_no is not None:
            self._used.add(found.caller.key_no)
        return found.caller

    @property
    def takes_tokens(self) -> bool:
        """Whether an identity provider is configured."""
        return self._tokens is not None

    async def caller_with(self, token: str) -> Caller | None:
        """Return the caller with this access token, None if there is no tenant of its name.

        Raises Unauthenticated, Overloaded while the issuer's keys can't be read, or one of UNAVAILABLE.
        """
        if self._tokens is None:
            return None
        read = await self._tokens.read(token)
        seal = self._seals.get(read.tenant) or await self._find_seal(read)
        if seal is None:
            return None
        return Caller(seal.tenant_no, read.scopes & ALL_SCOPES, subject=read.subject, seal=seal)

    async def _find_seal(self, token: Token) -> Seal | None:
        """Return the seal of the token's tenant, None if there is no such tenant."""
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            found = await tenants.find_tenant(connection, token.tenant)
        if found is None:
            return None
        tenant_no, secret = found
        self._seals[token.tenant] = seal = Seal(secret, tenant_no)  # a tenant stays, with its name
        return seal

    async def run(self) -> None:
        """Note every half a minute which keys were used, until cancelled."""
        while True:
            await asyncio.sleep(NOTED_EVERY_SECONDS)
            try:
                await self.note_uses()
            except (*UNAVAILABLE, *REJECTED) as error:
                log.warning("uses_of_keys_delayed", error=f"{type(error).__name__}: {error}")

    async def note_uses(self) -> None:
        """Note the keys used since the last time. Raises one of UNAVAILABLE or REJECTED; nothing is forgotten then."""
        if used := list(self._used):
            await in_transaction(self._engine, lambda c: api_keys.note_uses(c, used), seconds=QUICK_SECONDS)
            self._used.difference_update(used)

    def _renew_soon(self, now: float) -> None:
        """Look the keys in use up again, in the background; one look-up at a time."""
        if self._renewing is None or self._renewing.done():
            in_use = [
                digest
                for digest, found in self._look_ups.items()
                if found.caller is not None and now - found.used_at < FORGOTTEN_SECONDS
            ]
            self._renewing = asyncio.create_task(self._renew(in_use))

    async def _renew(self, digests: list[bytes]) -> None:
        try:
            await self._look_up(digests)
        except (*UNAVAILABLE, *REJECTED) as error:  # the next request looks its key up itself, and says so
            log.warning("renewal_of_keys_failed", error=f"{type(error).__name__}: {error}")

    async def _look_up(self, digests: list[bytes]) -> dict[bytes, _LookUp]:
        began = time.monotonic()
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            valid = await api_keys.find_keys(connection, digests)
        found = {digest: _found(valid.get(digest), began) for digest in digests}
        for digest, look_up in found.items():
            if (before := self._look_ups.get(digest)) is not None:
                look_up.used_at = before.used_at
        if len(self._look_ups) + len(found) > MOST_KEYS:
            self._look_ups = {d: kept for d, kept in self._look_ups.items() if kept.caller and kept.is_fresh(began)}
        self._look_ups.update(found)
        return found


def _found(key: ValidKey | None, looked_at: float) -> _LookUp:
    if key is None:
        return _LookUp(None, looked_at, looked_at + FRESH_SECONDS, looked_at)
    valid_seconds = FRESH_SECONDS if key.valid_seconds is None else key.valid_seconds
    seal = Seal(key.number_secret, key.tenant_no)
    caller = Caller(key.tenant_no, key.scopes, key_id=key.id, key_no=key.key_no, limits=key.limits, seal=seal)
    return _LookUp(caller, looked_at, looked_at + valid_seconds, looked_at)
