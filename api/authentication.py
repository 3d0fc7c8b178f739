"""Who calls: an API key, an access token or a session of pages, each checked against PostgreSQL or its issuer's keys.

Without PostgreSQL neither keys nor sessions can be checked, so no request is served.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from api.callers import Caller
from api.look_ups import Found, LookUps
from api.oidc import Token, TokenVerifier
from db import api_keys, page_sessions, tenants
from db.api_keys import ValidKey
from db.engine import QUICK_SECONDS, REJECTED, UNAVAILABLE, Connection, Engine, in_transaction
from db.page_sessions import ValidSession
from domain.api_keys import KEY_PREFIX, ApiKey, digest_of
from domain.key_limits import NO_LIMITS, Holder, KeyLimits, Limited
from domain.page_sessions import SessionSecret
from domain.scopes import ALL_SCOPES
from domain.sealing import Seal

NOTED_EVERY_SECONDS = 30.0
IDLE_SECONDS = 3600.0
_BEARER = "Bearer "
_OF_KEYS = _BEARER + KEY_PREFIX

log = structlog.stdlib.get_logger()


class Authenticator:
    """Finds the callers of keys, tokens and sessions, and notes when keys were used.

    A session ends `idle_seconds` after its last use. Those of another `issuer` don't count.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: TokenVerifier | None,
        *,
        idle_seconds: float = IDLE_SECONDS,
        issuer: str | None = None,
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._keys = LookUps(engine, _find_keys)
        self._tenants = LookUps(engine, _find_tenants)
        self._sessions = LookUps(engine, partial(_find_sessions, idle_seconds=idle_seconds, issuer=issuer))
        self._used: set[int] = set()

    def fresh_caller(self, header: str | None) -> Caller | None:
        """Return the caller of an `Authorization` with a key that was looked up a moment ago; None: look it up.

        What is kept was well-formed, so its form needs no other look.
        """
        if header is None or not header.startswith(_OF_KEYS):
            return None
        return self._used_by(self._keys.fresh_caller(digest_of(header.removeprefix(_BEARER))))

    async def caller_of(self, key: ApiKey) -> Caller | None:
        """Return the caller with this key, None if the key isn't valid. Raises one of UNAVAILABLE."""
        return self._used_by(await self._keys.caller_of(key.digest))

    async def caller_in(self, session: SessionSecret) -> Caller | None:
        """Return the caller of this session, None if it isn't valid. Raises one of UNAVAILABLE."""
        return self._used_by(await self._sessions.caller_of(session.digest))

    def forget(self, session: SessionSecret) -> None:
        """Don't serve a session that has ended any more; other processes stop within a second."""
        self._sessions.forget(session.digest)

    def _used_by(self, caller: Caller | None) -> Caller | None:
        if caller is not None and caller.key_no is not None:
            self._used.add(caller.key_no)
        return caller

    @property
    def takes_tokens(self) -> bool:
        """Whether an identity provider is configured."""
        return self._tokens is not None

    async def caller_with(self, token: str) -> Caller | None:
        """Return the caller with this access token, None if there is no tenant of its name.

        Raises Unauthenticated, Overloaded while the issuer's keys can't be read, or one of UNAVAILABLE.
        """
        return None if self._tokens is None else await self.caller_for(await self._tokens.read(token))

    async def caller_for(self, token: Token) -> Caller | None:
        """Return the caller that a verified token stands for, None if there is no tenant of its name.

        Raises one of UNAVAILABLE.
        """
        anybody = await self._tenants.caller_of(token.tenant.encode())
        return anybody and replace(anybody, scopes=token.scopes & ALL_SCOPES, subject=token.subject)

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


async def _find_keys(connection: Connection, digests: Sequence[bytes]) -> Mapping[bytes, Found]:
    found = await api_keys.find_keys(connection, digests)
    return {digest: Found(_caller(key, key_id=key.id), key.valid_seconds) for digest, key in found.items()}


async def _find_tenants(connection: Connection, names: Sequence[bytes]) -> Mapping[bytes, Found]:
    """Find the tenants of tokens, by names; a caller of each, who may do nothing."""
    found = await tenants.find_tenants(connection, [name.decode() for name in names])
    return {
        name.encode(): Found(
            Caller(
                tenant.tenant_no,
                frozenset(),
                tenant=name,
                limited=_limited((Holder.TENANT, tenant.tenant_no, tenant.limits)),
                seal=Seal(tenant.number_secret, tenant.tenant_no),
            ),
            None,
        )
        for name, tenant in found.items()
    }


async def _find_sessions(
    connection: Connection, digests: Sequence[bytes], *, idle_seconds: float, issuer: str | None
) -> Mapping[bytes, Found]:
    valid = await page_sessions.find_sessions(connection, digests, idle_seconds=idle_seconds, issuer=issuer)
    return {
        digest: Found(_caller(session, key_id=session.key_id, subject=session.subject, session_id=session.id), None)
        for digest, session in valid.items()
    }


def _caller(found: ValidKey | ValidSession, **names: str | None) -> Caller:
    """Return the caller that a key or a session stands for, under its names."""
    return Caller(
        found.tenant_no,
        found.scopes,
        tenant=found.tenant,
        key_no=found.key_no,
        limited=_limited(
            (Holder.KEY, found.key_no, found.limits), (Holder.TENANT, found.tenant_no, found.tenant_limits)
        ),
        seal=Seal(found.number_secret, found.tenant_no),
        **names,
    )


def _limited(*holders: tuple[Holder, int | None, KeyLimits]) -> Sequence[Limited]:
    return [Limited(of, no, limits) for of, no, limits in holders if no is not None and limits != NO_LIMITS]
