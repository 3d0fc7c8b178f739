"""Access tokens of an identity provider: which are taken, for which tenant, and what else is refused."""

import asyncio
import hmac
import json
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import jwt
import pytest
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from api import oidc
from api.oidc import TokenPolicy, TokenVerifier
from domain.errors import Overloaded, Unauthenticated
from tests.support.access import bearer, make_tenant
from tests.support.identity_provider import (
    AUDIENCE,
    IdentityProvider,
    ec_key,
    rsa_key,
)
from tests.support.processes import run_command
from tests.support.service import Client, Process, api_client, unique


@pytest.fixture
def idp(issuer: IdentityProvider) -> IdentityProvider:
    """The provider, with its one key and nothing counted."""
    issuer.keys, issuer.reads, issuer.asked, issuer.is_away, issuer.published = issuer.keys[:1], 0, 0, False, ...
    return issuer


@pytest.fixture
async def client(
    start_api: Callable[..., Process], database_url: str, redis_url: str, idp: IdentityProvider
) -> AsyncIterator[Client]:
    """A client of an API that takes the provider's tokens."""
    api = start_api(database_url, redis_url, auth="keys", oidc_issuer=idp.url, oidc_audience=AUDIENCE)
    async with api_client(api, database_url) as client:
        yield client


@pytest.fixture
async def verifier(idp: IdentityProvider) -> AsyncIterator[TokenVerifier]:
    """What an API verifies tokens by, with nothing read yet."""
    policy = TokenPolicy(idp.url, AUDIENCE, frozenset({"RS256", "ES256"}), "tenant", "scope")
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield TokenVerifier(policy, http)


async def test_a_token_stands_for_its_tenant_and_scopes(client: Client, idp: IdentityProvider):
    tenant_no = await make_tenant(client.database, "acme")
    token = idp.token(scope="jobs:read jobs:write something:else")
    posted = await client.http.post("/jobs", json=unique(), headers=bearer(token))
    assert posted.status_code == 202
    assert await client.database.fetchval("SELECT tenant_no FROM jobs") == tenant_no
    refused = await client.http.get("/executions", headers=bearer(token))
    assert (refused.status_code, refused.json()["scope"]) == (403, "results:read")
    assert idp.reads == 1


async def test_actions_are_recorded_under_the_subject(client: Client, idp: IdentityProvider):
    await make_tenant(client.database, "acme")
    token = idp.token(scope="jobs:read jobs:write controls")
    job_id = (await client.http.post("/jobs", json=unique(), headers=bearer(token))).json()["job"]["id"]
    assert (await client.http.post(f"/jobs/{job_id}/cancel", headers=bearer(token))).status_code == 202
    events = (await client.http.get(f"/jobs/{job_id}/events", headers=bearer(token))).json()["items"]
    assert [event["data"]["by"] for event in events if event["type"] == "cancelled"] == ["oidc:user-1"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_each_allowed_algorithm_is_taken(verifier: TokenVerifier, idp: IdentityProvider, algorithm: str):
    idp.keys.append(ec_key())
    token = idp.token(key=idp.keys[algorithm == "ES256"], algorithm=algorithm)
    assert (await verifier.read(token)).scopes == {"openid", "jobs:read"}


@pytest.mark.parametrize("address", ["http://elsewhere.example/keys", "http://127.0.0.1:1/keys", None, 7, "file:/x"])
async def test_keys_are_read_from_a_safe_address_only(verifier: TokenVerifier, idp: IdentityProvider, address: object):
    idp.described = {"jwks_uri": address}
    try:
        with capture_logs() as logs, pytest.raises(Overloaded):
            await verifier.read(idp.token())
    finally:
        idp.described = {}
    assert [line["event"] for line in logs] == ["issuer_keys_unavailable"]
    assert "jwks_uri" in logs[0]["error"]


@pytest.mark.parametrize(
    ("address", "issuer", "is_taken"),
    [
        ("https://keys.example/keys", "https://id.example", True),
        ("http://id.example/keys", "https://id.example", False),
        ("http://127.0.0.1:8080/keys", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080.example/keys", "http://127.0.0.1:8080", False),
        ("http://127.0.0.1:80801/keys", "http://127.0.0.1:8080/", False),
    ],
)
def test_an_address_is_as_safe_as_its_issuers(address: str, issuer: str, *, is_taken: bool):
    assert oidc.is_safe(address, issuer) is is_taken


@pytest.mark.parametrize("kind", ["at+jwt", "application/at+jwt", "JWT", None])
async def test_access_tokens_are_taken_by_any_of_their_types(
    verifier: TokenVerifier, idp: IdentityProvider, kind: str | None
):
    assert (await verifier.read(idp.token(kind=kind))).subject == "user-1"


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/logout+jwt"])
async def test_a_token_of_another_type_is_refused(verifier: TokenVerifier, idp: IdentityProvider, kind: str):
    with pytest.raises(Unauthenticated, match="type"):
        await verifier.read(idp.token(kind=kind))


@pytest.mark.parametrize("scope", [["jobs:read", "controls"], "jobs:read controls"])
async def test_scopes_are_text_or_a_list(verifier: TokenVerifier, idp: IdentityProvider, scope: object):
    assert (await verifier.read(idp.token(scope=scope))).scopes == {"jobs:read", "controls"}


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "`exp`"),
        ({"nbf": int(time.time()) + 3600}, "yet"),
        ({"iss": "https://elsewhere.example.com"}, "issuer"),
        ({"iss": None}, "`iss`"),
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "`aud`"),
        ({"sub": None}, "`sub`"),
        ({"tenant": None}, "`tenant`"),
        ({"tenant": ["acme"]}, "`tenant`"),
        ({"scope": {"jobs:read": True}}, "`scope`"),
        ({"sub": "user\0one"}, "recorded"),
        ({"tenant": "ac\0me"}, "recorded"),
    ],
)
async def test_a_token_that_isnt_for_us_now_is_refused(
    verifier: TokenVerifier, idp: IdentityProvider, claims: Any, told: str
):
    with pytest.raises(Unauthenticated, match=told):
        await verifier.read(idp.token(**claims))


async def test_a_token_of_an_unknown_tenant_or_a_forged_one_is_unauthenticated(client: Client, idp: IdentityProvider):
    for token in (idp.token(tenant="nobody"), idp.token(key=rsa_key())):
        answer = await client.http.get("/jobs", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_token_of_another_signer_is_refused(verifier: TokenVerifier, idp: IdentityProvider):
    head, claims, signature = idp.token().split(".")
    forged = {
        "another key of the same id": idp.token(key=rsa_key()),
        "an unknown key": idp.token(key=rsa_key("rsa-2")),
        "the issuer's key under an unknown id": idp.token(
            key=RSAKey.import_key({**idp.keys[0].as_dict(private=True), "kid": "rsa-9"})
        ),
        "the public key as a secret": signed_by_secret(claims, idp.keys[0].as_pem(private=False)),
        "no signature": f"{head}.{claims}.",
        "no algorithm": f"eyJhbGciOiJub25lIiwia2lkIjoicnNhLTEifQ.{claims}.",
        "other claims": f"{head}.{idp.token(tenant='default').split('.')[1]}.{signature}",
        "an algorithm that isn't allowed": idp.token(algorithm="PS256"),
        "a curve's signature under an RSA key's id": idp.token(key=ec_key("rsa-1"), algorithm="ES256"),
        "no token": "abc",
        "too long": "a" * 9000,
    }
    for name, token in forged.items():
        with pytest.raises(Unauthenticated):
            sys.stdout.write(f"{name}: {await verifier.read(token)}\n")
    assert idp.reads == 1


async def test_a_subject_with_half_a_character_is_refused(verifier: TokenVerifier, idp: IdentityProvider):
    """As JSON may escape it; the provider's library doesn't write one."""
    key = idp.keys[0]
    claims = {"iss": idp.url, "aud": AUDIENCE, "exp": int(time.time()) + 60, "sub": "half: \ud83d", "tenant": "acme"}
    token = jwt.encode(claims, key.as_pem(private=True), algorithm="RS256", headers={"kid": key.kid})
    with pytest.raises(Unauthenticated, match="recorded"):
        await verifier.read(token)


def signed_by_secret(claims: str, secret: bytes) -> str:
    """A token whose HMAC has the issuer's public key as its secret, as a verifier might take it that asks the token."""

    def encoded(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{encoded(json.dumps({'alg': 'HS256', 'kid': 'rsa-1'}).encode())}.{claims}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


async def test_tokens_that_name_unknown_keys_cost_the_issuer_little(verifier: TokenVerifier, idp: IdentityProvider):
    token = idp.token(key=rsa_key("rsa-9"))
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="key"):
            await verifier.read(token)
    assert idp.reads == 1


async def test_a_new_key_of_the_issuer_is_found_and_an_old_one_serves_while_it_is_away(
    verifier: TokenVerifier, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 0)
    assert (await verifier.read(idp.token())).tenant == "acme"
    idp.keys.append(rsa_key("rsa-2"))
    new = idp.token(key=idp.keys[1])
    assert (await verifier.read(new)).subject == "user-1"
    idp.is_away = True
    assert (await verifier.read(new)).subject == "user-1"
    with pytest.raises(Unauthenticated, match="key"):
        await verifier.read(idp.token(key=rsa_key("rsa-3")))
    assert idp.reads == 2


async def test_while_the_issuer_is_away_keys_go_on_and_tokens_wait(client: Client, idp: IdentityProvider):
    await make_tenant(client.database, "acme")
    idp.is_away = True
    answer = await client.http.get("/jobs", headers=bearer(idp.token()))
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


async def test_an_issuer_that_is_away_is_asked_once_for_many_tokens(verifier: TokenVerifier, idp: IdentityProvider):
    token, idp.is_away = idp.token(), True
    for answer in await asyncio.gather(*(verifier.read(token) for _ in range(50)), return_exceptions=True):
        assert isinstance(answer, Overloaded)
    assert idp.asked == 1


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"keys": None},
        {"keys": ["text"]},
        {"keys": [{"kty": "oct", "k": "AAAA", "kid": "rsa-1"}]},
        {"keys": []},
    ],
)
async def test_unusable_keys_are_as_good_as_none(verifier: TokenVerifier, idp: IdentityProvider, document: object):
    idp.published = document
    with pytest.raises((Overloaded, Unauthenticated)):
        await verifier.read(idp.token())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"OIDC_ISSUER": "http://id.example.com", "OIDC_AUDIENCE": "a"}, "https://"),
        ({"OIDC_ISSUER": "https://id.example.com"}, "OIDC_AUDIENCE"),
        ({"OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "a", "AUTH": "off"}, "AUTH=keys"),
        ({"OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "a", "OIDC_ALGORITHMS": "HS256"}, "HS256"),
        ({"OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "a", "OIDC_ALGORITHMS": "none"}, "none"),
    ],
)
def test_unsafe_settings_are_refused(settings: dict[str, str], told: str):
    environment = {f"BREAKWATER_{name}": value for name, value in {"AUTH": "keys", **settings}.items()}
    ended = run_command("config", environment=environment)
    assert ended.returncode == 2
    assert told in ended.stderr
