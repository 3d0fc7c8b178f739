"""Somebody signs in, in a real browser: what it keeps and sends, by its own account."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.scopes import Scope
from tests.support.access import make_key, make_tenant
from tests.support.browsing import Site, served
from tests.support.driven_browser import Browser, Tab, driven_browser
from tests.support.identity_provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET, identity_provider
from tests.support.page_sessions import COOKIE
from tests.support.service import Client, Process, api_client

ELSEWHERE = "elsewhere.example"
OUTER = "jobs.example"
ATTACK = """<!doctype html><title>elsewhere</title><form method="post" action="{victim}{path}">
<input name="csrf_token" value="guessed"></form><script>
const post = {{ method: "POST", credentials: "include", mode: "no-cors", headers: {{ "Content-Type": "text/plain" }} }};
fetch("{victim}{path}", post).catch(() => "").finally(() => document.forms[0].submit());
</script>"""
OWN = """fetch("{path}", {{
  method: "POST", headers: {{ "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content }}
}}).then((got) => got.status)"""
LINK = '<!doctype html><a href="{to}">a link in a chat</a>'


@dataclass(frozen=True)
class Signing:
    """A browser, an API that asks for keys, and a key."""

    browser: Browser
    client: Client
    key: str

    @property
    def url(self) -> str:
        return self.client.process.url

    async def sign_in(self, path: str = "/ui") -> Tab:
        tab = await self.browser.open_tab()
        await tab.go(self.url + path)
        await tab.type(self.key)  # the field has the focus
        await tab.press_enter()
        return tab

    async def cookie(self) -> str:
        [cookie] = await self.browser.cookies()
        return str(cookie["value"])


@pytest.fixture
async def signing(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Signing]:
    api = start_api(database_url, redis_url, auth="keys", allowed_hosts=OUTER)
    async with (
        api_client(api, database_url) as client,
        driven_browser(tmp_path / "profile", hosts_here=(ELSEWHERE, OUTER)) as browser,
    ):
        yield Signing(browser, client, await make_key(client.database, Scope.OPERATE))


async def test_a_person_signs_in_by_keyboard_and_out_again(signing: Signing):
    tab = await signing.sign_in("/ui?from=chat")
    assert await tab.path() == "/ui?from=chat"
    assert signing.key.split("_")[1] in await tab.text()
    [cookie] = await signing.browser.cookies()
    assert {name: cookie[name] for name in ("name", "domain", "path", "secure", "httpOnly", "sameSite", "session")} == {
        "name": COOKIE,
        "domain": "127.0.0.1",
        "path": "/",
        "secure": True,
        "httpOnly": True,
        "sameSite": "Lax",
        "session": True,
    }
    assert await tab.evaluate("document.cookie") == ""
    other = await signing.browser.open_tab()
    await other.go(f"{signing.url}/ui")
    await other.click("header form button")
    assert await other.path() == "/ui/sign-in"
    assert await signing.browser.cookies() == []
    await tab.click("header form button")  # of a session that ended in another tab
    assert await tab.path() == "/ui/sign-in"
    await tab.go(f"{signing.url}/ui")
    assert await tab.path() == "/ui/sign-in?next=%2Fui"
    assert signing.browser.console == []


async def test_signing_in_again_gives_another_session(signing: Signing):
    await signing.sign_in()
    first = await signing.cookie()
    await signing.client.database.execute("UPDATE page_sessions SET expires_at = now()")
    tab = await signing.browser.open_tab()
    await tab.go(f"{signing.url}/ui")
    while await tab.path() == "/ui":  # served for less than a second
        await tab.go(f"{signing.url}/ui")
    assert await signing.cookie() == first
    await tab.type(signing.key)
    await tab.press_enter()
    assert await tab.path() == "/ui"
    assert await signing.cookie() != first


async def test_a_revoked_key_leads_to_the_form(signing: Signing):
    tab = await signing.sign_in()
    await signing.client.database.execute("UPDATE api_keys SET revoked_at = now()")
    while await tab.path() == "/ui":  # served for less than a second
        await tab.go(f"{signing.url}/ui")
    while await tab.path() != "/ui/sign-in":  # the key is taken for less than a second; no page is served by it
        assert await tab.path() == "/ui/sign-in?next=%2Fui"
        await tab.type(signing.key)
        await tab.press_enter()
    assert "it was revoked" in await tab.text()
    assert await tab.evaluate("document.activeElement.id") == "key"


async def test_a_person_signs_in_at_an_identity_provider_of_another_site(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
):
    """The browser comes back by a link from there, and keeps its session."""
    with identity_provider() as idp:
        settings = {"oidc_issuer": idp.url, "oidc_audience": AUDIENCE, "oidc_client_id": CLIENT_ID}
        api = start_api(database_url, redis_url, auth="keys", oidc_client_secret=CLIENT_SECRET, **settings)
        async with (
            api_client(api, database_url) as client,
            driven_browser(tmp_path / "profile", hosts_here=("localhost",)) as browser,
        ):
            await make_tenant(client.database, "acme")
            tab = await browser.open_tab()
            await tab.go(f"{api.url.replace('127.0.0.1', 'localhost')}/ui?from=chat")
            await tab.click("main a.button")
            assert await tab.path() == "/ui?from=chat"
            assert "user-1" in await tab.text()
            [cookie] = await browser.cookies()
            assert (cookie["name"], cookie["domain"]) == (COOKIE, "localhost")
            assert browser.console == []


@pytest.mark.parametrize("host", ["127.0.0.1", ELSEWHERE])
async def test_a_page_of_another_site_changes_nothing_in_a_session(signing: Signing, host: str):
    """Both ways to send a POST. The browser reaches the API by a proxy that notes what it sent."""
    proxy = Site({}, service=signing.url.removeprefix("http://"))
    with served(proxy):
        tab = await signing.browser.open_tab()
        victim = f"http://127.0.0.1:{proxy.port}"
        await tab.go(f"{victim}/ui/sign-in")
        await tab.type(signing.key)
        await tab.press_enter()
        path = "/regions/us-east/pause"
        with served(Site({"/": ATTACK.format(victim=victim, path=path)})) as attacker:
            await tab.go(f"http://{host}:{attacker.port}/")

            async def has_left() -> bool:
                return len([seen for seen in proxy.seen if seen.path == path]) == 2

            await tab.wait(has_left)
        tried = [seen for seen in proxy.seen if seen.path == path]
        assert {seen.status for seen in tried} == {403}
        assert all((COOKIE in seen.headers.get("Cookie", "")) == (host == "127.0.0.1") for seen in tried)
        assert await signing.client.database.fetchval("SELECT count(*) FROM pauses WHERE is_paused") == 0
        await tab.go(f"{victim}/ui")
        assert await tab.evaluate(OWN.format(path=path)) == 200


async def test_a_link_from_another_site_leads_into_the_session(signing: Signing):
    await signing.sign_in()
    with served(Site({"/": LINK.format(to=f"{signing.url}/ui")})) as chat:
        tab = await signing.browser.open_tab()
        await tab.go(f"http://{ELSEWHERE}:{chat.port}/")
        await tab.click("a")
    assert await tab.path() == "/ui"


async def test_by_plain_http_the_page_says_what_to_do(signing: Signing):
    tab = await signing.browser.open_tab()
    port = signing.url.rpartition(":")[2]
    await tab.go(f"http://{OUTER}:{port}/ui")
    assert await tab.path() == "/ui/sign-in?next=%2Fui"
    assert "https://" in await tab.text()
    assert await tab.evaluate("document.querySelectorAll('input').length") == 0
