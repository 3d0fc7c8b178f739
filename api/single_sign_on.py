"""Signing in at the identity provider: the authorization code flow of OpenID Connect, with PKCE, state and nonce.

All three are derived from one random secret, which only the browser keeps, in a cookie of its own. So nothing is stored
here before somebody has signed in, any process can finish what another began, and no other browser can.
"""

import asyncio
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from fastapi import Request
from fastapi.responses import Response

from api.oidc import Token, TokenRefused, TokenVerifier, is_safe
from domain.errors import Overloaded
from domain.notes import cut
from domain.page_sessions import SECRET_BYTES, derived, make_secret
from runtime.settings import Settings

COOKIE: Final = "__Host-breakwater-sign-in"
TIME_SECONDS: Final = 600
"""How long the browser keeps the secret of a sign-in that was begun."""
EXCHANGE_SECONDS: Final = 5.0
_FORM: Final = re.compile(r"(?P<secret>[0-9A-Za-z_-]{43})\.(?P<onward>[0-9A-Za-z_-]*=*)")
BASIC: Final = "client_secret_basic"
"""What providers take that don't say."""

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that a browser began: its secret, and the page to go to afterwards."""

    onward: str
    secret: str = field(default_factory=lambda: make_secret(secrets.token_bytes(SECRET_BYTES)).text, repr=False)

    @property
    def state(self) -> str:
        """What the provider's answer has to carry: it shows that this browser asked."""
        return derived(self.secret, "state")

    @property
    def nonce(self) -> str:
        """What the ID token has to carry: it shows that the token was made for this sign-in."""
        return derived(self.secret, "nonce")

    @property
    def code_verifier(self) -> str:
        """What redeems the code, together with it (PKCE)."""
        return derived(self.secret, "code verifier")


def attempt_of(request: Request) -> Attempt | None:
    """Return the sign-in that this browser began; None without one."""
    match = _FORM.fullmatch(request.cookies.get(COOKIE, ""))
    if match is None:
        return None
    try:
        return Attempt(urlsafe_b64decode(match["onward"]).decode(), match["secret"])
    except ValueError:
        return None


def keep_attempt(response: Response, attempt: Attempt) -> None:
    """Have the browser keep a sign-in that it began; the provider's answer is a link from another site (Lax)."""
    value = f"{attempt.secret}.{urlsafe_b64encode(attempt.onward.encode()).decode()}"
    response.set_cookie(COOKIE, value, TIME_SECONDS, path="/", secure=True, httponly=True, samesite="lax")


def forget_attempt(response: Response) -> None:
    """Have the browser forget it: an answer counts once."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


class SingleSignOn:
    """Sends people to the provider, and takes its answers."""

    def __init__(self, tokens: TokenVerifier, settings: Settings) -> None:
        self._tokens = tokens
        self._client_id = settings.oidc_client_id or ""
        secret = settings.oidc_client_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self.issuer = settings.oidc_issuer or ""
        self._client = AsyncOAuth2Client(
            self._client_id,
            self._secret,
            code_challenge_method="S256",
            scope="openid",
            trust_env=False,
            timeout=EXCHANGE_SECONDS,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close the connections to the provider."""
        await self._client.aclose()

    async def address_of(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return where the browser signs in. Raises Overloaded while the provider can't be asked."""
        document = await self._tokens.discovered()
        address, _ = self._client.create_authorization_url(
            self._endpoint(document, "authorization_endpoint"),
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.code_verifier,
            redirect_uri=redirect_uri,
        )
        return str(address)

    async def finish(self, attempt: Attempt | None, answer: Mapping[str, str], redirect_uri: str) -> Token:
        """Return what the provider says of who signed in, from the parameters of its answer.

        Raises TokenRefused, or Overloaded while the provider can't be asked.
        """
        if attempt is None or not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise TokenRefused("this browser didn't begin this sign-in, began another one since, or took too long")
        document = await self._tokens.discovered()
        named = answer.get(
            "iss", None if document.get("authorization_response_iss_parameter_supported") else self.issuer
        )
        if named != self.issuer:  # RFC 9207
            raise TokenRefused("the answer comes from another issuer")
        if "code" not in answer:
            raise TokenRefused(f"the provider says {cut(answer.get('error', 'nothing'))}")
        tokens = await self._redeem(answer["code"], attempt, document, redirect_uri)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise TokenRefused("the provider gave no ID token")
        return await self._tokens.read_id_token(id_token, client_id=self._client_id, nonce=attempt.nonce)

    async def _redeem(
        self, code: str, attempt: Attempt, document: Mapping[str, Any], redirect_uri: str
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                tokens: Mapping[str, Any] = await self._client.fetch_token(
                    self._endpoint(document, "token_endpoint"),
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.code_verifier,
                    redirect_uri=redirect_uri,
                    auth=self._authentication(document),
                )
        except OAuthError as error:
            raise TokenRefused(f"the provider says {cut(str(error.error))}") from None
        except (httpx2.HTTPError, OSError, ValueError, TypeError) as error:
            log.warning("sign_in_unavailable", issuer=self.issuer, error=f"{type(error).__name__}: {error}")
            raise Overloaded("The identity provider doesn't answer; try again.", retry_after_seconds=1) from None
        return tokens

    def _authentication(self, document: Mapping[str, Any]) -> Any:
        """Return how the client says who it is: by the header unless the provider takes the body only."""
        if self._secret is None:
            return self._client.client_auth("none")
        taken = document.get("token_endpoint_auth_methods_supported", [BASIC])
        if isinstance(taken, list) and BASIC not in taken:
            return self._client.client_auth("client_secret_post")
        # Encoded as RFC 6749 (2.3.1) wants it; the library sends both as they are.
        return httpx2.BasicAuth(quote_plus(self._client_id), quote_plus(self._secret))

    def _endpoint(self, document: Mapping[str, Any], name: str) -> str:
        """Return an address of the provider, which is as safe as the provider's own."""
        address = document.get(name)
        if is_safe(address, self.issuer):
            return str(address)
        log.warning("sign_in_unavailable", issuer=self.issuer, error=f"its {name} is {address!r}")
        raise Overloaded("The identity provider can't be used to sign in.", retry_after_seconds=60)
