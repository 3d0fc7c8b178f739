"""A small identity provider on loopback, whose tokens are signed by another library than ours.

It has discovery, published keys, and the authorization code flow: whoever comes is `user-1`, who is asked nothing.
"""

import json
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

AUDIENCE = "breakwater"
CLIENT_ID, CLIENT_SECRET = "pages", "s3cret/of:the client"


@dataclass
class IdentityProvider:
    """Publishes its `keys`, or what is `published` instead; counts how often they are read, and all that is asked.

    `id_claims` and `id_options` replace what is in its next ID tokens, `answered` what it adds to its answers,
    `described` what is in its discovery document, `redeemed` its answer to a code, which it gives
    while `answering` is set.
    """

    url: str
    keys: list[Key] = field(default_factory=list)
    reads: int = 0
    asked: int = 0
    published: Any = ...
    is_away: bool = False
    id_claims: dict[str, Any] = field(default_factory=dict)
    id_options: dict[str, Any] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)
    redeemed: Any = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    answering: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.answering.set()

    def token(
        self, *, key: Key | None = None, algorithm: str = "RS256", kind: str | None = "at+jwt", **claims: Any
    ) -> str:
        """A token for the tenant `acme` that may read jobs; a claim that is None is left out."""
        now = int(time.time())
        given = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "user-1",
            "iat": now,
            "exp": now + 60,
            "tenant": "acme",
            "scope": "openid jobs:read",
            **claims,
        }
        signing = key or self.keys[0]
        header = {"alg": algorithm, "kid": signing.kid, **({} if kind is None else {"typ": kind})}
        return jwt.encode(header, {n: v for n, v in given.items() if v is not None}, signing, algorithms=[algorithm])

    @property
    def key_set(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def documents(self) -> dict[str, Any]:
        """What it answers, by path."""
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                **self.described,
            },
            "/keys": self.key_set if self.published is ... else self.published,
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser is sent with a code, as RFC 6749 and RFC 7636 want it asked for."""
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
        assert {name: asked[name] for name in wanted} == wanted, asked
        assert "openid" in asked["scope"].split()
        assert len(asked["nonce"]) >= 43
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.url, **self.answered}
        return f"{asked['redirect_uri']}?{urlencode({n: v for n, v in answer.items() if v})}"

    def redeem(self, asked: dict[str, str], authorization: str) -> tuple[int, Any]:
        """Return the status and the answer to a code, which counts once."""
        begun = self.codes.pop(asked.get("code", ""), None)
        credentials = f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}"
        by_header = authorization == f"Basic {b64encode(credentials.encode()).decode()}"
        by_body = (asked.get("client_id"), asked.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not (by_header or by_body):
            return 401, {"error": "invalid_client"}
        challenge = urlsafe_b64encode(sha256(asked.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if (
            begun is None
            or begun["code_challenge"] != challenge
            or begun["redirect_uri"] != asked.get("redirect_uri")
            or asked.get("grant_type") != "authorization_code"
        ):
            return 400, {"error": "invalid_grant"}
        if self.redeemed is not None:
            return 200, self.redeemed
        claims = {"aud": CLIENT_ID, "nonce": begun["nonce"], **self.id_claims}
        return 200, {
            "access_token": self.token(),
            "token_type": "Bearer",
            "id_token": self.token(**{"kind": "JWT", **self.id_options}, **claims),
        }


def rsa_key(kid: str = "rsa-1") -> RSAKey:
    """A new key for RS and PS algorithms."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def ec_key(kid: str = "ec-1") -> ECKey:
    """A new key for ES256."""
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Serve a provider with one RSA key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(dict(parse_qsl(query))))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            document = None if provider.is_away else provider.documents().get(self.path)
            provider.reads += self.path == "/keys"
            provider.asked += 1
            self.reply(503 if document is None else 200, document)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            provider.asked += 1
            provider.answering.wait()
            if provider.is_away or self.path != "/token":
                self.reply(503, None)
            else:
                self.reply(*provider.redeem(dict(parse_qsl(body)), self.headers.get("Authorization", "")))

        def reply(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}", [rsa_key()])
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
