"""The pages come from us alone: each asset they name is served here, and the headers forbid the browser all others."""

import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.routes import pages

PAGES = ["/", "/docs"]
SWAGGER = Path(pages.__file__).parent.parent / "ui" / "static" / "swagger"
VENDORED = SWAGGER.parent / "vendor"
AXE = Path(__file__).parents[1] / "support" / "axe"
SUM_LINE = re.compile(r"^\| `(?P<name>[^`]+)` \|.* `(?P<sha256>[0-9a-f]{64})` \|$", re.MULTILINE)


class Names(HTMLParser):
    """Collects a page's links (anchors) and its loaded resources (everything else)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.inline_scripts = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in ("href", "src", "srcset", "action", "data", "poster"):
            if url := values.get(name):
                (self.links if tag == "a" else self.assets).append(url)
        if tag == "script" and "src" not in values:
            self.inline_scripts += 1


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(pages.router)
    pages.mount_static(app)
    with TestClient(app) as client:
        yield client


def directives(policy: str) -> dict[str, set[str]]:
    return {name: set(sources) for name, *sources in (directive.split() for directive in policy.split(";"))}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_served_as_html(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_answers_head(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_allows_this_host_only(client: TestClient, path: str) -> None:
    policy = directives(client.get(path).headers["Content-Security-Policy"])
    assert policy["default-src"] == {"'none'"}
    assert policy["frame-ancestors"] == {"'none'"}
    assert set().union(*policy.values()) <= {"'none'", "'self'", "data:", "'unsafe-inline'"}
    assert "'unsafe-inline'" not in policy.get("script-src", set())


@pytest.mark.parametrize("host", ["jobs.example:8443", "192.0.2.7:81", "[::1]:8000", "localhost"])
def test_the_command_of_the_home_page_goes_to_where_it_was_opened(client: TestClient, host: str) -> None:
    page = client.get("/", headers={"Host": host}).text
    assert f"curl -i http://{host}/jobs \\\n" in page
    assert "{{" not in page


@pytest.mark.parametrize("host", ["$(reboot)", "a;b", "<b>", "a'b", 'a"b', "a b"])
def test_a_host_that_is_none_is_not_shown(client: TestClient, host: str) -> None:
    page = client.get("/", headers={"Host": host}).text
    assert re.search(r"curl -i http://(127\.0\.0\.1:8000|testserver)/jobs \\\n", page)
    assert host not in page


def test_links_to_json_say_so(client: TestClient) -> None:
    page = client.get("/").text
    for path in ("/jobs", "/queue", "/audit"):
        assert page.count(f'<a href="{path}" type="application/json">{path}</a> <small>JSON</small>') == 1
    assert page.count("<small>JSON</small>") == 5


def test_the_home_page_may_run_no_script(client: TestClient) -> None:
    answer = client.get("/")
    assert "script-src" not in directives(answer.headers["Content-Security-Policy"])
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_every_asset_a_page_names_is_served_by_us(client: TestClient, path: str) -> None:
    assets = Names(client.get(path).text).assets
    assert assets
    assert [url for url in assets if not url.startswith("/static/")] == []
    assert {url: client.get(url).status_code for url in assets} == dict.fromkeys(assets, 200)


@pytest.mark.parametrize("path", PAGES)
def test_no_link_leaves_this_host(client: TestClient, path: str) -> None:
    links = Names(client.get(path).text).links
    assert [url for url in links if not re.match(r"/(?!/)|#", url)] == []


def test_the_docs_page_has_no_inline_script(client: TestClient) -> None:
    assert Names(client.get("/docs").text).inline_scripts == 0


def test_the_home_page_leads_everywhere(client: TestClient) -> None:
    links = set(Names(client.get("/").text).links)
    assert {"/docs", "/openapi.json", "/jobs", "/queue", "/audit", "/metrics", "/readyz"} <= links
    assert {"/ui", "/ui/jobs", "/ui/submit", "/problems"} <= links


@pytest.mark.parametrize("path", [f"/static/{file.name}" for file in sorted(VENDORED.parent.glob("*.*"))])
def test_our_own_assets_name_no_other_host(client: TestClient, path: str) -> None:
    text = client.get(path).text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?:|url\(|@import", text) == []


@pytest.mark.parametrize("setting", ['url: "/openapi.json"', "persistAuthorization: false", "validatorUrl: null"])
def test_swagger_is_started_so_that_it_calls_no_other_site(client: TestClient, setting: str) -> None:
    assert setting in client.get("/static/docs.js").text


def test_nothing_outside_the_folder_is_served(client: TestClient) -> None:
    assert client.get("/static/%2e%2e/docs.html").status_code == 404


def test_the_pages_are_not_in_the_description(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["paths"] == {}


@pytest.mark.parametrize("folder", [SWAGGER, VENDORED, AXE])
def test_the_vendored_files_are_the_published_ones(folder: Path) -> None:
    expected = {match["name"]: match["sha256"] for match in SUM_LINE.finditer((folder / "README.md").read_text())}
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "README.md"
    }
    assert found == expected
