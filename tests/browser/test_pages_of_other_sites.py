"""A page of another origin, open in the browser of somebody who uses the service, can neither change nor read anything.

The browser reaches the API through a proxy of the test that notes what it sent: each attack has to arrive.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support.browsing import Seen, Site, browse, served
from tests.support.service import Process, unique

PUBLIC = "public.example"
REBOUND = "rebound.example"
ATTACK = """<!doctype html><title>elsewhere</title><iframe name="sink"></iframe><script>
const victim = "http://127.0.0.1:{port}", actions = {actions};
const ended = (element) => new Promise((done) => {{ element.onload = element.onerror = done; }});
const load = (tag, attributes) => {{
  const element = Object.assign(document.createElement(tag), attributes), end = ended(element);
  document.body.append(element);
  return end;
}};
const form = (action, enctype, name, value) => {{
  const form = Object.assign(document.createElement("form"), {{ method: "post", action, enctype, target: "sink" }});
  if (name) form.append(Object.assign(document.createElement("input"), {{ name, value }}));
  document.body.append(form);
  const end = ended(document.querySelector("iframe"));
  form.submit();
  return end;
}};
const send = (path, options) => fetch(victim + path, options).then((got) => got.text()).catch(() => "");
(async () => {{
  let read = "";
  for (const path of actions) {{
    const post = {{ method: "POST", credentials: "include" }};
    read += await send(path, {{ ...post, mode: "no-cors" }});
    read += await send(path, {{ ...post, mode: "no-cors", body: '{{"reason": "text/plain"}}' }});
    read += await send(path, {{ ...post, mode: "no-cors", body: new URLSearchParams("a=b") }});
    read += await send(path, {{ ...post, mode: "cors" }});
    read += await send(path, {{ ...post, headers: {{ "Content-Type": "application/json" }}, body: "{{}}" }});
    await form(victim + path, "application/x-www-form-urlencoded");
    await form(victim + path, "text/plain", '{{"reason": "', '"}}');
    await form(victim + path, "multipart/form-data", "reason", "a form");
  }}
  read += await send("/jobs", {{ mode: "cors" }});
  read += await send("/jobs", {{ mode: "no-cors" }});
  await load("img", {{ src: victim + "/static/breakwater.svg" }});
  await load("script", {{ src: victim + "/jobs" }});
  await load("link", {{ rel: "stylesheet", href: victim + "/static/site.css" }});
  await load("iframe", {{ src: victim + "/docs" }});
  document.title = "all tried, read " + read.length;
}})();
</script>"""
FORM = """<!doctype html><form method="post" action="{action}"></form><script>document.forms[0].submit()</script>"""
LINK = """<!doctype html><script>location = "{to}"</script>"""
OWN = """<!doctype html><title>own</title><script>
fetch("{path}", {{ method: "POST" }}).then((got) => got.text()).then((text) => {{ document.body.append(text); }});
</script><body></body>"""
EACH_ACTION = 8
"""Requests per action, the question of whether JSON may be sent (OPTIONS) in place of the request with JSON."""


@dataclass(frozen=True)
class Victim:
    """A service behind a proxy that notes requests, with a job and a region that a page may want to stop."""

    site: Site
    http: httpx2.Client
    job: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.site.port}"

    @property
    def actions(self) -> list[str]:
        return ["/regions/us-east/pause", "/providers/echo/pause", f"{self.job}/cancel"]

    def is_untouched(self) -> bool:
        regions = self.http.get("/regions").json()["items"]
        providers = self.http.get("/providers").json()["items"]
        assert {item["name"] for item in regions} >= {"us-east"}
        job = self.http.get(self.job).json()
        operations = self.http.get("/operations").json()["items"]
        return (job["status"], operations) == ("queued", []) and not any(
            item["paused"] for item in (*regions, *providers)
        )


@pytest.fixture
def victim(start_api: Callable[..., Process], database_url: str, redis_url: str) -> Iterator[Victim]:
    """The service; no worker takes its job."""
    api = start_api(database_url, redis_url)
    site = Site({}, service=api.url.removeprefix("http://"))
    with served(site), httpx2.Client(base_url=api.url) as http:
        yield Victim(site, http, http.post("/jobs", json=unique()).headers["Location"])


@pytest.mark.parametrize("host", ["127.0.0.1", PUBLIC])
def test_a_page_of_another_origin_changes_and_reads_nothing(victim: Victim, tmp_path: Path, host: str) -> None:
    attack = ATTACK.format(port=victim.site.port, actions=victim.actions)
    with served(Site({"/": attack})) as attacker:
        page = browse(f"http://{host}:{attacker.port}/", tmp_path, hosts_here=(PUBLIC,)).stdout
    assert "<title>all tried, read 0</title>" in page
    for path in victim.actions:
        tried = [seen for seen in victim.site.seen if seen.path == path]
        assert len(tried) == EACH_ACTION, tried
    assert [seen for seen in victim.site.seen if seen.status != 403] == []
    assert {seen.path for seen in victim.site.seen} == {
        *victim.actions,
        *("/jobs", "/static/breakwater.svg", "/static/site.css", "/docs"),
    }
    site = "same-site" if host == "127.0.0.1" else "cross-site"
    assert {seen.headers["Sec-Fetch-Site"] for seen in victim.site.seen} == {site}
    assert victim.is_untouched()


@pytest.mark.parametrize("host", ["127.0.0.1", PUBLIC])
def test_a_form_that_sends_itself_changes_nothing(victim: Victim, tmp_path: Path, host: str) -> None:
    (_, path, _) = victim.actions
    with served(Site({"/": FORM.format(action=victim.address + path)})) as attacker:
        page = browse(f"http://{host}:{attacker.port}/", tmp_path, hosts_here=(PUBLIC,)).stdout
    assert "cross_site" in page
    assert {(seen.path, seen.status) for seen in posts(victim)} == {(path, 403)}
    assert victim.is_untouched()


def test_a_page_whose_name_leads_here_changes_and_reads_nothing(victim: Victim, tmp_path: Path) -> None:
    """DNS rebinding: the page and the service are of one origin to the browser."""
    (path, *_) = victim.actions
    victim.site.pages = {"/page": OWN.format(path=path)}
    page = browse(f"http://{REBOUND}:{victim.site.port}/page", tmp_path, hosts_here=(REBOUND,)).stdout
    assert "unknown_host" in page
    assert {(seen.path, seen.status) for seen in posts(victim)} == {(path, 421)}
    assert victim.is_untouched()


def test_a_page_of_the_service_does_what_it_is_for(victim: Victim, tmp_path: Path) -> None:
    (path, *_) = victim.actions
    victim.site.pages = {"/page": OWN.format(path=path)}
    page = browse(f"{victim.address}/page", tmp_path).stdout
    assert '"paused":true' in page
    assert {(seen.headers["Sec-Fetch-Site"], seen.status) for seen in posts(victim)} == {("same-origin", 200)}
    assert not victim.is_untouched()


@pytest.mark.parametrize(("path", "shown"), [("/docs", "Submit a job"), ("/queue", "workers")])
def test_a_link_of_another_site_leads_here(victim: Victim, tmp_path: Path, path: str, shown: str) -> None:
    with served(Site({"/": LINK.format(to=victim.address + path)})) as other:
        page = browse(f"http://{PUBLIC}:{other.port}/", tmp_path, hosts_here=(PUBLIC,)).stdout
    assert shown in page
    statuses = {seen.status for seen in victim.site.seen if seen.path != "/favicon.ico"}
    assert 200 in statuses <= {200, 304}


def posts(victim: Victim) -> list[Seen]:
    return [seen for seen in victim.site.seen if seen.method == "POST"]
