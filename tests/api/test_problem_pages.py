"""A problem's `type` leads to a page of the service that explains its code."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2
import pytest

from api import problem_texts
from tests.support.documentation import ROOT, names_in, tables
from tests.support.service import Client


class Text(HTMLParser):
    """The visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(answer: httpx2.Response) -> str:
    assert answer.headers["Content-Type"].startswith("text/html")
    return " ".join(" ".join(Text(answer.text).parts).split())


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/jobs/none", "not_found"),
        ("GET", "/jobs?limit=0", "invalid_parameter"),
        ("PUT", "/jobs", "method_not_allowed"),
    ],
)
async def test_the_type_of_a_problem_can_be_opened(client: Client, method: str, path: str, code: str) -> None:
    problem = await client.http.request(method, path)
    assert problem.json()["code"] == code
    page = await client.http.get(urljoin(str(problem.url), problem.json()["type"]))
    assert page.status_code == 200
    assert code in text_of(page)
    assert "It means" in text_of(page)


async def test_every_code_of_the_reference_has_a_page_that_says_the_same(client: Client) -> None:
    """Read from the reference by another reader than the one that writes the pages."""
    index = text_of(await client.http.get("/problems"))
    for row in tables("docs/reference/errors.md"):
        if len(row) not in (3, 4) and len(row) != 2:
            continue
        for code in names_in(row[0]):
            if code in ("code", "path"):
                continue
            answer = await client.http.get(f"/problems/{code}")
            assert answer.status_code == 200, code
            first_words = row[2 if row[1].isdigit() else 1].split("`")[0].split("[")[0].strip()
            assert first_words in text_of(answer), code
            assert code in index


async def test_programs_may_have_it_as_json(client: Client) -> None:
    answer = await client.http.get("/problems/quota_exceeded", headers={"Accept": "application/json"})
    [explained] = answer.json()["explanations"]
    assert (answer.headers["Vary"], explained["status"], explained["about"]) == ("Accept", 429, "Requests")
    assert "[" not in explained["means"]
    everything = (await client.http.get("/problems", headers={"Accept": "application/json"})).json()["items"]
    assert explained in everything


async def test_a_code_that_there_is_not_is_a_404(client: Client) -> None:
    answer = await client.http.get("/problems/<script>")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_a_code_with_two_meanings_tells_both(client: Client) -> None:
    page = text_of(await client.http.get("/problems/key_missing"))
    assert "Specs" in page
    assert "Rejected rows" in page


def test_the_installed_texts_are_those_of_the_reference() -> None:
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in problem_texts.SOURCES]
    assert problem_texts.FILE.read_text(encoding="utf-8") == problem_texts.as_json(pages)
