"""A small identity provider on loopback: discovery, published keys, and tokens signed by another library than ours."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

AUDIENCE = "breakwater"


@dataclass
class IdentityProvider:
    """Publishes its `keys`, or what is `published` instead; counts how often they are read, and all that is asked."""

    url: str
    keys: list[Key] = field(default_factory=list)
    reads: int = 0
    asked: int = 0
    published: Any = ...
    is_away: bool = False

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
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": self.key_set if self.published is ... else self.published,
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
            document = None if provider.is_away else provider.documents().get(self.path)
            provider.reads += self.path == "/keys"
            provider.asked += 1
            body = json.dumps(document).encode()
            self.send_response(503 if document is None else 200)
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
