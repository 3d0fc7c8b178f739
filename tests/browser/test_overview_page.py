"""The first page: current without a reload, and it says when it can't be."""

from collections.abc import Callable

from domain.scopes import Scope
from tests.support.access import make_key
from tests.support.dashboards import Dashboard
from tests.support.service import Process

LINKS = "[...document.querySelectorAll('nav a')].map((link) => link.textContent.trim())"


async def test_the_overview_keeps_nobody_out(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui")
    await tab.see_text("Authentication is off")
    await dashboard.keeps_nobody_out(tab)


async def test_a_page_says_that_its_facts_may_be_old(
    dashboard: Dashboard, start_api: Callable[..., Process], database_url: str, redis_url: str
) -> None:
    tab = await dashboard.open("/ui")
    api = dashboard.client.process
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    api.kill()
    await tab.see_text("What you see may be old")
    start_api(database_url, redis_url, port=api.url.rsplit(":", 1)[1])
    await tab.see("!document.body.innerText.includes('What you see may be old')")
    assert "an older look" not in await tab.text()


async def test_a_page_stops_when_asked(dashboard: Dashboard) -> None:
    tab = await dashboard.open("/ui")
    await tab.act("#live-switch")
    await tab.see_text("Stopped")
    await tab.evaluate("document.querySelector('#live').append('an older look')")
    await tab.act("#live-switch")
    await tab.see("!document.body.innerText.includes('an older look')")


async def test_pages_that_a_key_may_not_open_are_not_offered(keyed_dashboard: Dashboard) -> None:
    key = await make_key(keyed_dashboard.client.database, Scope.METRICS)
    tab = await keyed_dashboard.sign_in(key)
    assert await tab.evaluate(LINKS) == ["Breakwater", "Overview", "API"]
    await keyed_dashboard.keeps_nobody_out(tab)
