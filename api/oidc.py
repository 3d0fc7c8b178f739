"""OpenID Connect: tokens of an identity provider, as JWTs that are verified here (access tokens: RFC 9068).

The provider's keys are read from its discovery document when they are first needed, and again when a token names
another key. A token is taken if it is signed by one of the allowed asymmetric algorithms, comes from the issuer, is for
our audience and hasn't expired; its claims name the tenant and the scopes. An ID token is for our client, and answers
to one sign-in by its nonce.
"""

import asyncio
import hmac
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
import structlog

from domain.errors import Overloaded, Unauthenticated
from runtime.settings import Settings

DISCOVERY = "/.well-known/openid-configuration"
LEEWAY_SECONDS = 5.0
"""How far the clocks of the provider and of this machine may differ."""
KEYS_SECONDS = 3600.0
"""After how long the keys are read again."""
PAUSE_SECONDS = 10.0
"""How long to wait between two reads of the keys: tokens that name unknown keys cost the provider little."""
RETRY_SECONDS = 1.0
"""The same while there are no keys."""
READ_SECONDS = 3.0
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Errors of reading documents of another form."""
MAX_BYTES = 1 << 20
MAX_TOKEN = 8192
MAX_SUBJECT = 255
"""As OpenID Connect bounds them; those of sessions are indexed."""
TYPES = ("at+jwt", "jwt")
"""The types of access tokens: that of RFC 9068, and the one that many providers give instead."""

ID_TOKEN_TYPES = ("jwt",)

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens are taken: their issuer's URL, our audience, the algorithms, and the claims that are read."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    tenant_claim: str
    scope_claim: str


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified token says: its subject, its tenant's name and its scopes."""

    subject: str
    tenant: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _IssuerKey:
    """A key that the issuer publishes; `algorithm` is the only one it is for, if it says so."""

    key: Any
    algorithm: str | None


def token_policy(settings: Settings) -> TokenPolicy | None:
    """Return the policy of checked settings, None without an issuer."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return TokenPolicy(
        settings.oidc_issuer,
        settings.oidc_audience,
        frozenset(settings.oidc_algorithms.split(",")),
        settings.oidc_tenant_claim,
        settings.oidc_scope_claim,
    )


def is_safe(address: object, issuer: str) -> bool:
    """Say whether an address that an issuer names is as safe as its own: https, or below a loopback issuer."""
    return isinstance(address, str) and address.startswith(("https://", f"{issuer.rstrip('/')}/"))


class TokenRefused(Unauthenticated):
    """A token isn't one of the issuer's for us; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"This token can't be taken: {reason}. Get a new one, or send an API key.")
        self.reason = reason


class TokenVerifier:
    """Verifies tokens by the issuer's published keys."""

    def __init__(self, policy: TokenPolicy, client: httpx2.AsyncClient) -> None:
        self._policy = policy
        self._client = client
        self._document: Mapping[str, Any] = {}
        self._keys: Mapping[str, _IssuerKey] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self, text: str) -> Token:
        """Return what an access token says.

        Raises TokenRefused, or Overloaded while the issuer's keys can't be read.
        """
        return self._token(await self._verified(text, TYPES, self._policy.audience))

    async def read_id_token(self, text: str, *, client_id: str, nonce: str) -> Token:
        """Return what the ID token of the sign-in with this nonce says. Raises as `read`."""
        claims = await self._verified(text, ID_TOKEN_TYPES, client_id, required=("iat", "nonce"))
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise TokenRefused("it answers to another sign-in")
        is_for_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if len(str(claims["sub"])) > MAX_SUBJECT:
            raise TokenRefused(f"its `sub` has more than {MAX_SUBJECT} characters")
        if claims.get("azp", None if is_for_several else client_id) != client_id:
            raise TokenRefused("it was given to another client")
        return self._token(claims)

    async def discovered(self) -> Mapping[str, Any]:
        """Return the issuer's discovery document. Raises Overloaded while it can't be read."""
        await self._refresh()
        return self._document

    async def _verified(
        self, text: str, types: Collection[str], audience: str, *, required: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        """Return the claims of a token of one of these types for this audience."""
        if len(text) > MAX_TOKEN:
            raise TokenRefused("it is too long")
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError:
            raise TokenRefused("it isn't a JWT") from None
        if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in types:
            raise TokenRefused("it is a token of another type")
        key = await self._key(str(header.get("kid", "")))
        if key is None:
            raise TokenRefused("its key isn't the issuer's")
        algorithms = self._policy.algorithms & {key.algorithm} if key.algorithm else self._policy.algorithms
        try:
            claims: Mapping[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=sorted(algorithms),
                audience=audience,
                issuer=self._policy.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub", *required]},
            )
        except (jwt.PyJWTError, TypeError) as error:  # a TypeError if key and algorithm don't fit
            raise TokenRefused(_reason(error)) from None
        return claims

    def _token(self, claims: Mapping[str, Any]) -> Token:
        tenant, subject = claims.get(self._policy.tenant_claim), str(claims["sub"])
        if not isinstance(tenant, str):
            raise TokenRefused(f"it names no tenant in `{self._policy.tenant_claim}`")
        if not _is_storable(tenant) or not _is_storable(subject):
            raise TokenRefused(f"`{self._policy.tenant_claim}` or `sub` has characters that can't be recorded")
        given = claims.get(self._policy.scope_claim, "")
        scopes = given.split() if isinstance(given, str) else given
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise TokenRefused(f"`{self._policy.scope_claim}` is neither text nor a list of texts")
        return Token(subject, tenant, frozenset(scopes))

    async def _key(self, key_id: str) -> _IssuerKey | None:
        if key_id not in self._keys:
            await self._read_keys()
        await self._refresh()
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        """Read document and keys if they are old or missing. Raises Overloaded while there are none."""
        if not self._keys or time.monotonic() - self._read_at > KEYS_SECONDS:
            await self._read_keys()
        if not self._keys:
            detail = "The identity provider's keys can't be read, so no token can be checked. Try again."
            raise Overloaded(detail, retry_after_seconds=1)

    async def _read_keys(self) -> None:
        """Read document and keys, unless that was tried a moment ago; if it fails, those read before serve on."""
        async with self._reading:
            if time.monotonic() - self._tried_at <= (PAUSE_SECONDS if self._keys else RETRY_SECONDS):
                return
            try:
                async with asyncio.timeout(READ_SECONDS):
                    document = await self._read_document()
                    self._keys = _usable(await self._get(self._safe(document["jwks_uri"])))
                self._document, self._read_at = document, time.monotonic()
            except (*_UNREADABLE, httpx2.HTTPError, jwt.PyJWTError) as error:
                reason = f"{type(error).__name__}: {error}"
                log.warning("issuer_keys_unavailable", issuer=self._policy.issuer, error=reason)
            finally:
                self._tried_at = time.monotonic()

    def _safe(self, address: object) -> str:
        if not is_safe(address, self._policy.issuer):
            raise ValueError(f"its jwks_uri is {address!r}, not https")
        return str(address)

    async def _read_document(self) -> Mapping[str, Any]:
        document = await self._get(self._policy.issuer.rstrip("/") + DISCOVERY)
        if document.get("issuer") != self._policy.issuer:
            raise ValueError(f"it says that it is {document.get('issuer')!r}")
        return document

    async def _get(self, url: str) -> dict[str, Any]:
        response = await self._client.get(url, follow_redirects=False)
        if response.status_code != httpx2.codes.OK or len(response.content) > MAX_BYTES:
            raise ValueError(f"HTTP {response.status_code} with {len(response.content)} bytes")
        document = response.json()
        if not isinstance(document, dict):
            raise TypeError("it isn't a JSON object")
        return document


def _usable(published: Mapping[str, Any]) -> dict[str, _IssuerKey]:
    """Return the issuer's keys for signatures by their ids. Keys of kinds that aren't known here are left out."""
    found = {}
    for each in published["keys"]:
        if each.get("use", "sig") == "sig" and each.get("kty") != "oct":
            try:
                found[str(each.get("kid", ""))] = _IssuerKey(jwt.PyJWK.from_dict(each).key, each.get("alg"))
            except jwt.PyJWTError as error:
                log.info("issuer_key_skipped", key_id=each.get("kid"), error=str(error))
    return found


def _is_storable(text: str) -> bool:
    """Say whether PostgreSQL can hold a text: it has neither NUL nor half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


_REASONS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it isn't valid yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it comes from another issuer",
    jwt.InvalidAlgorithmError: "its algorithm isn't allowed",
}


def _reason(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it has no `{error.claim}`"
    found = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
    return next(found, "its signature isn't the issuer's")
