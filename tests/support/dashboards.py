"""The pages under `/ui` as people use them: a real browser, an API, workers, and a key where one is asked for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.driven_browser import Browser, Tab, driven_browser
from tests.support.service import Client, Process, api_client

PHONE = 390


@dataclass(frozen=True)
class Dashboard:
    """A browser that reaches this machine only, and a client of the API whose pages it shows."""

    browser: Browser
    client: Client

    async def open(self, path: str) -> Tab:
        """Open a page in a new tab."""
        tab = await self.browser.open_tab()
        await tab.go(self.client.process.url + path)
        return tab

    async def sign_in(self, key: str, path: str = "/ui") -> Tab:
        """Open a page of an API that asks for keys, and sign in with this one."""
        tab = await self.open(path)
        await tab.type(key)  # the field has the focus
        await tab.press_enter()
        return tab

    async def keeps_nobody_out(self, tab: Tab) -> None:
        """Fail if the page has a barrier by day or by night, or is too wide for a phone, or if a console has a line."""
        for is_dark in (False, True):
            await tab.look_like(is_dark=is_dark)
            assert await tab.barriers() == []
        await tab.look_like(width=PHONE)
        assert not await tab.is_wider_than_its_window()
        assert await tab.barriers() == []
        await tab.look_like()
        assert self.browser.console == []


@pytest.fixture
async def dashboard(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Dashboard]:
    """The pages of an API without keys on the test's own stores; `start_worker` starts its workers."""
    async with opened_dashboard(start_api(database_url, redis_url), database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def keyed_dashboard(
    start_api: Callable[..., Process], database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Dashboard]:
    """The same of an API that asks for keys (`tests.support.access.make_key` makes them)."""
    async with opened_dashboard(start_api(database_url, redis_url, auth="keys"), database_url, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def opened_dashboard(api: Process, database_url: str, folder: Path) -> AsyncIterator[Dashboard]:
    """Open a browser for the pages of an API on this database."""
    async with api_client(api, database_url) as client, driven_browser(folder / "profile") as browser:
        yield Dashboard(browser, client)
