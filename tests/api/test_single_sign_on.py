"""Signing in to the pages at an identity provider: which of its answers open a session, and which don't."""

import asyncio
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from api import page_sessions, single_sign_on
from api.authentication import Authenticator
from api.oidc import TokenVerifier, token_policy
from api.page_sessions import PageSessions
from api.refusal_log import RefusalLog
from api.single_sign_on import COOKIE as ATTEMPT
from api.single_sign_on import SingleSignOn
from db.engine import Connection
from domain.page_sessions import SessionSecret
from domain.scopes import Scope
from runtime.settings import Settings
from tests.support.access import bearer, make_key, make_tenant
from tests.support.identity_provider import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    ec_key,
    rsa_key,
)
from tests.support.job_seeds import Seeds
from tests.support.page_sessions import COOKIE, SignedIn, opened, send_key
from tests.support.processes import run_command
from tests.support.reading_app import replace_services
from tests.support.waiting import eventually_async


@pytest.fixture
def idp(issuer: IdentityProvider) -> IdentityProvider:
    """The provider as it is by itself."""
    fresh = IdentityProvider(issuer.url, issuer.keys[:1])
    issuer.__dict__.update(fresh.__dict__)
    return issuer


@dataclass
class Person:
    """Somebody with a browser, which keeps cookies and follows the provider's redirects."""

    http: httpx2.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str) -> httpx2.Response:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.http.get(path, headers={"Cookie": header} if header else {})
        for given in answer.headers.get_list("Set-Cookie"):
            name, _, rest = given.partition("=")
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= {part.lower() for part in rest.split("; ")}
            self.cookies[name] = rest.partition(";")[0].strip('"')
            if "max-age=0" in rest.lower():
                del self.cookies[name]
        return answer

    async def begin(self, onward: str = "/ui") -> str:
        """Go to the provider; return the address where it signs people in."""
        answer = await self.get(f"/ui/sign-in/provider?{urlencode({'next': onward})}")
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    async def come_back(self, address: str) -> str:
        """Sign in there; return the path with which the provider sends the browser back."""
        async with httpx2.AsyncClient(trust_env=False) as provider:
            sent_back = (await provider.get(address)).headers["Location"]
        assert sent_back.startswith("http://127.0.0.1/ui/sign-in/callback?")
        return sent_back.removeprefix("http://127.0.0.1")

    async def sign_in(self, onward: str = "/ui") -> httpx2.Response:
        return await self.get(await self.come_back(await self.begin(onward)))

    async def session(self) -> SignedIn:
        return await opened(self.http, self.cookies[COOKIE])


@pytest.fixture
async def person(reader: httpx2.AsyncClient, seeds: Seeds, idp: IdentityProvider) -> AsyncIterator[Person]:
    settings = Settings(
        oidc_issuer=idp.url,
        oidc_audience=AUDIENCE,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,  # type: ignore[arg-type]  # a text becomes a secret
    )
    policy = token_policy(settings)
    assert policy is not None
    services = reader.app.state.services  # type: ignore[attr-defined]
    async with httpx2.AsyncClient(trust_env=False) as client:
        tokens = TokenVerifier(policy, client)
        sign_on = SingleSignOn(tokens, settings)
        replace_services(
            reader,
            authenticator=Authenticator(seeds.engine, tokens, issuer=idp.url),
            single_sign_on=sign_on,
            page_sessions=PageSessions(seeds.engine, settings),
            refusal_log=RefusalLog(seeds.engine, worker_no=services.worker_no, is_keyed=True),
        )
        yield Person(reader)
        await sign_on.aclose()


@pytest.fixture
async def acme(rows: Connection) -> int:
    """The tenant that the provider's tokens name."""
    return await make_tenant(rows, "acme")


async def test_a_person_of_the_provider_gets_a_session(person: Person, rows: Connection, acme: int):
    form = await person.get("/ui/sign-in?next=/ui?a=b")
    assert 'href="/ui/sign-in/provider?next=/ui%3Fa%3Db">Sign in with 127.0.0.1</a>' in form.text
    answer = await person.sign_in("/ui?a=b")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui?a=b")
    assert person.cookies.keys() == {COOKIE}
    session = await person.session()
    assert "user-1" in (await session.get("/ui")).text
    assert (await session.get("/jobs")).status_code == 200
    refused = await session.get("/executions")
    assert (refused.status_code, refused.json()["scope"]) == (403, "results:read")
    row = await rows.fetchrow("SELECT tenant_no, subject, scopes FROM page_sessions")
    assert (row["tenant_no"], row["subject"], row["scopes"]) == (acme, "user-1", ["jobs:read"])


async def test_the_session_of_a_subject_lives_for_an_hour_and_for_its_issuer(
    person: Person, rows: Connection, seeds: Seeds, acme: int
):
    await person.sign_in()
    lifetime = await rows.fetchval("SELECT extract(EPOCH FROM expires_at - created_at)::int FROM page_sessions")
    assert lifetime == 3600
    session = await person.session()
    replace_services(person.http, authenticator=Authenticator(seeds.engine, None, issuer="https://another.example"))
    assert (await session.get("/jobs")).status_code == 401


async def test_the_audit_log_names_the_subject_and_the_session(person: Person, rows: Connection, acme: int):
    await person.sign_in()
    session_id = await rows.fetchval("SELECT id FROM page_sessions")
    admin = await make_key(rows, Scope.ADMIN)
    entries = (await person.http.get("/audit-log?tenant=acme", headers=bearer(admin))).json()["items"]
    [entry] = [entry for entry in entries if entry["session_id"] is not None]
    assert {name: entry[name] for name in ("action", "outcome", "tenant", "key_id", "account", "session_id")} == {
        "action": "GET /ui/sign-in/callback",
        "outcome": "done",
        "tenant": "acme",
        "key_id": None,
        "account": "oidc:user-1",
        "session_id": session_id,
    }


async def is_refused(person: Person, rows: Connection, path: str, told: str) -> None:
    """Check that an answer opens no session, that the page says why, and that the audit log shows it."""
    answer = await person.get(path)
    assert (answer.status_code, told in answer.text) == (401, True), answer.text
    assert COOKIE not in person.cookies
    assert ATTEMPT not in person.cookies
    assert await rows.fetchval("SELECT count(*) FROM page_sessions") == 0
    await person.http.app.state.services.refusal_log.close()  # type: ignore[attr-defined]
    entry = await rows.fetchrow("SELECT outcome, code, tenant_no FROM audit_entries ORDER BY entry_no DESC LIMIT 1")
    assert tuple(entry) == ("refused", "unauthenticated", None)


@pytest.mark.parametrize("state", ["wrong", "", None, "another sign-in's"])
async def test_an_answer_with_another_state_is_refused(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, state: str | None
):
    if state == "another sign-in's":
        idp.answered = {"state": parse_qs(urlsplit(await Person(person.http).begin()).query)["state"][0]}
    else:
        idp.answered = {"state": state or ""}
    await is_refused(person, rows, await person.come_back(await person.begin()), "begin this sign-in")
    assert idp.codes  # nothing was redeemed


async def test_an_answer_in_another_browser_is_refused(person: Person, rows: Connection, acme: int):
    """Somebody sends a victim the link by which their own account would be signed in."""
    path = await person.come_back(await person.begin())
    await is_refused(Person(person.http), rows, path, "begin this sign-in")
    victim = Person(person.http)
    await victim.begin()
    await is_refused(victim, rows, path, "begin this sign-in")


async def test_an_answer_counts_once(person: Person, rows: Connection, acme: int):
    path = await person.come_back(await person.begin())
    attempt = dict(person.cookies)
    assert (await person.get(path)).status_code == 303
    await rows.execute("DELETE FROM page_sessions")
    person.cookies = {}
    await is_refused(person, rows, path, "begin this sign-in")
    person.cookies = attempt  # a browser that kept it: then the provider refuses the code
    await is_refused(person, rows, path, "invalid_grant")


async def test_a_code_is_redeemed_by_the_browser_that_asked_for_it(person: Person, rows: Connection, acme: int):
    """PKCE: a code that was stolen on its way is worth nothing in an attempt of the thief's own."""
    stolen = parse_qs(urlsplit(await person.come_back(await person.begin())).query)["code"][0]
    thief = Person(person.http)
    own = parse_qs(urlsplit(await thief.come_back(await thief.begin())).query)
    path = f"/ui/sign-in/callback?{urlencode({'code': stolen, 'state': own['state'][0], 'iss': own['iss'][0]})}"
    await is_refused(thief, rows, path, "invalid_grant")


async def test_an_answer_of_another_issuer_is_refused(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider
):
    idp.answered = {"iss": "https://elsewhere.example"}
    await is_refused(person, rows, await person.come_back(await person.begin()), "another issuer")
    assert idp.codes
    idp.answered = {"iss": ""}
    assert (await person.sign_in()).status_code == 303  # a provider that doesn't name itself


async def test_a_provider_that_names_itself_does_so_always(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider
):
    idp.described, idp.answered = {"authorization_response_iss_parameter_supported": True}, {"iss": ""}
    await is_refused(person, rows, await person.come_back(await person.begin()), "another issuer")


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"nonce": "wrong"}, "another sign-in"),
        ({"nonce": None}, "`nonce`"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"iss": None}, "`iss`"),
        ({"aud": AUDIENCE}, "another audience"),
        ({"aud": None}, "`aud`"),
        ({"aud": [CLIENT_ID, "another"]}, "another client"),
        ({"azp": "another"}, "another client"),
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "`exp`"),
        ({"iat": None}, "`iat`"),
        ({"nbf": int(time.time()) + 3600}, "yet"),
        ({"sub": None}, "`sub`"),
        ({"sub": secrets.token_hex(2000)}, "more than 255"),
        ({"sub": "a\0"}, "be recorded"),
        ({"tenant": None}, "names no tenant"),
        ({"tenant": "nobody"}, "there is no tenant"),
        ({"scope": {"jobs:read": True}}, "neither text nor a list"),
    ],
)
@pytest.mark.usefixtures("acme")
async def test_an_id_token_of_others_is_refused(
    person: Person, rows: Connection, idp: IdentityProvider, claims: dict[str, Any], told: str
):
    idp.id_claims = claims
    await is_refused(person, rows, await person.come_back(await person.begin()), told)


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "application/at+jwt"])
async def test_a_token_of_another_type_is_no_id_token(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, kind: str
):
    idp.id_options = {"kind": kind}
    await is_refused(person, rows, await person.come_back(await person.begin()), "another type")


@pytest.mark.parametrize(
    "options",
    [
        {"key": rsa_key("rsa-1")},
        {"key": rsa_key("rsa-9")},
        {"key": ec_key("rsa-1"), "algorithm": "ES256"},
        {"algorithm": "PS256"},
    ],
    ids=["another key of the same id", "an unknown key", "another kind of key", "an algorithm that isn't allowed"],
)
async def test_an_id_token_of_another_signer_is_refused(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, options: dict[str, Any]
):
    idp.id_options = options
    await is_refused(person, rows, await person.come_back(await person.begin()), "can&#39;t be taken")


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
async def test_an_unsigned_id_token_is_refused(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, algorithm: str
):
    address = await person.begin()
    nonce = parse_qs(urlsplit(address).query)["nonce"][0]
    claims = idp.token(kind="JWT", aud=CLIENT_ID, nonce=nonce).split(".")[1]
    head = encoded(json.dumps({"alg": algorithm, "kid": "rsa-1"}).encode())
    published = idp.keys[0].as_pem(private=False)
    signature = encoded(hmac.digest(published, f"{head}.{claims}".encode(), "sha256")) if algorithm == "HS256" else ""
    idp.redeemed = {"access_token": "a", "token_type": "Bearer", "id_token": f"{head}.{claims}.{signature}"}
    await is_refused(person, rows, await person.come_back(address), "can&#39;t be taken")


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "redeemed", [{}, {"access_token": "a"}, {"id_token": 7}, {"id_token": "x"}, {"error": "<script>"}]
)
async def test_an_answer_without_an_id_token_is_refused(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, redeemed: Any
):
    idp.redeemed = redeemed
    path = await person.come_back(await person.begin())
    await is_refused(person, rows, path, "answer can&#39;t be taken")


async def test_what_the_provider_refuses_is_told_as_text(person: Person, rows: Connection, acme: int):
    state = parse_qs(urlsplit(await person.begin()).query)["state"][0]
    query = urlencode({"state": state, "error": "access_denied<script>", "error_description": "No."})
    await is_refused(person, rows, f"/ui/sign-in/callback?{query}", "access_denied&lt;script&gt;")


@pytest.mark.parametrize("redeemed", [None, [], "text"])
async def test_a_provider_that_is_away_or_broken_gets_nobody_in(
    person: Person, rows: Connection, acme: int, idp: IdentityProvider, redeemed: Any
):
    path = await person.come_back(await person.begin())
    idp.is_away, idp.redeemed = redeemed is None, redeemed
    answer = await person.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert COOKIE not in person.cookies


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("address", [None, 7, "http://elsewhere.example/a", "javascript:alert(1)"])
@pytest.mark.usefixtures("acme")
async def test_an_unsafe_address_of_the_provider_isnt_used(
    person: Person, idp: IdentityProvider, name: str, address: object
):
    idp.described = {name: address}
    if name == "authorization_endpoint":
        answer = await person.get("/ui/sign-in/provider")
    else:
        answer = await person.get(await person.come_back(await person.begin()))
    assert answer.status_code == 503
    assert COOKIE not in person.cookies


async def test_the_client_says_who_it_is_as_the_provider_wants(person: Person, acme: int, idp: IdentityProvider):
    idp.described = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await person.sign_in()).status_code == 303


async def test_next_leads_to_own_pages_only(person: Person, acme: int):
    assert (await person.sign_in("https://elsewhere.example/")).headers["Location"] == "/ui"
    person.cookies = {}
    path = await person.come_back(await person.begin())
    secret, _, _ = person.cookies[ATTEMPT].partition(".")
    person.cookies[ATTEMPT] = f"{secret}.{urlsafe_b64encode(b'//elsewhere.example').decode()}"
    assert (await person.get(path)).headers["Location"] == "/ui"


async def test_an_id_token_is_no_access_token(person: Person, acme: int, idp: IdentityProvider):
    token = idp.token(kind="JWT", aud=CLIENT_ID, nonce="n")
    assert (await person.http.get("/jobs", headers=bearer(token))).status_code == 401


async def test_signing_in_ends_the_session_before(person: Person, rows: Connection, acme: int):
    await person.sign_in()
    first = person.cookies[COOKIE]
    await person.get(await person.come_back(await person.begin()))
    assert person.cookies[COOKIE] != first
    left = [bytes(row["digest"]) for row in await rows.fetch("SELECT digest FROM page_sessions")]
    assert left == [SessionSecret(person.cookies[COOKIE]).digest]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that doesn't end by itself, however slow this machine is; it counts for a `person` made after it."""
    monkeypatch.setattr(single_sign_on, "EXCHANGE_SECONDS", 60)


@pytest.mark.usefixtures("patience", "acme")
async def test_a_key_waits_behind_no_provider(
    person: Person, rows: Connection, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(page_sessions, "WAIT_SECONDS", 0.05)
    key = await make_key(rows)
    people = [Person(person.http) for _ in range(page_sessions.EXCHANGES_AT_ONCE + 1)]
    *paths, last = [await each.come_back(await each.begin()) for each in people]
    before = idp.asked
    idp.answering.clear()
    async with asyncio.TaskGroup() as group:
        exchanges = [group.create_task(each.get(path)) for each, path in zip(people, paths, strict=False)]
        try:

            async def all_asked() -> bool:
                return idp.asked == before + len(exchanges)

            await eventually_async(all_asked)
            assert (await send_key(person.http, key)).status_code == 303
            refused = await people[-1].get(last)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert not any(each.done() for each in exchanges)
        finally:
            idp.answering.set()
    assert {each.result().status_code for each in exchanges} == {303}


async def test_made_up_codes_of_one_address_keep_no_other_waiting(
    patience: None, person: Person, acme: int, idp: IdentityProvider
):
    crowd = [Person(person.http) for _ in range(page_sessions.EXCHANGES_AT_ONCE)]
    paths = [await each.come_back(await each.begin()) for each in crowd]
    elsewhere = httpx2.ASGITransport(person.http.app, client=("192.0.2.9", 1))  # type: ignore[attr-defined]
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://127.0.0.1") as http:
        other = Person(http)
        path = await other.come_back(await other.begin())
        before = idp.asked
        idp.answering.clear()

        async def asked(count: int) -> bool:
            return idp.asked == before + count

        async with asyncio.TaskGroup() as group:
            try:
                exchanges = [group.create_task(each.get(path)) for each, path in zip(crowd, paths, strict=True)]
                await eventually_async(partial(asked, len(crowd)))
                coming = group.create_task(other.get(path))
                await eventually_async(partial(asked, len(crowd) + 1))
            finally:
                idp.answering.set()
        assert coming.result().status_code == 303
        assert sorted(each.result().status_code for each in exchanges) == [303] * (len(crowd) - 1) + [503]


async def test_without_a_client_nobody_is_sent_to_a_provider(reader: httpx2.AsyncClient):
    for path in ("/ui/sign-in/provider", "/ui/sign-in/callback?code=a&state=b"):
        answer = await reader.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/sign-in")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"OIDC_CLIENT_ID": "pages"}, "OIDC_ISSUER"),
        ({"OIDC_CLIENT_ID": "a", "OIDC_ISSUER": "https://a.example", "OIDC_AUDIENCE": "a"}, "OIDC_AUDIENCE"),
        ({"OIDC_CLIENT_SECRET": "s", "OIDC_ISSUER": "https://a.example", "OIDC_AUDIENCE": "a"}, "OIDC_CLIENT_ID"),
    ],
)
def test_settings_that_dont_fit_are_refused(settings: dict[str, str], told: str):
    environment = {f"BREAKWATER_{name}": value for name, value in {"AUTH": "keys", **settings}.items()}
    ended = run_command("config", environment=environment)
    assert ended.returncode == 2
    assert told in ended.stderr


def test_the_clients_secret_comes_from_a_file_and_is_shown_nowhere(tmp_path: Any):
    (tmp_path / "secret").write_text("very-secret\n")
    environment = {
        "BREAKWATER_AUTH": "keys",
        "BREAKWATER_OIDC_ISSUER": "https://a.example",
        "BREAKWATER_OIDC_AUDIENCE": "a",
        "BREAKWATER_OIDC_CLIENT_ID": "pages",
        "BREAKWATER_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    ended = run_command("config", environment=environment)
    assert ended.returncode == 0, ended.stderr
    assert "very-secret" not in ended.stdout + ended.stderr
    assert "BREAKWATER_OIDC_CLIENT_SECRET=" in ended.stdout
