"""Every page is reached from the index, every relative link leads somewhere, and pages keep to their purpose."""

import re
from pathlib import Path
from typing import get_args

import pytest

from api.schemas.queue import StuckReason
from tests.support.documentation import DOCS, ROOT, anchors, links, names_in, pages, table

README_WORDS = 900
GLOSSARY_WORDS = 12
MODULE = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/[a-z0-9_]+\.(?:py|sql|toml|yml|yaml))`")
"""A file of the project, as a page writes it in code."""
PACKAGES = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "bench")]


def _targets(page: Path) -> list[tuple[str, Path, str]]:
    """Each relative link of a page, with the file and the anchor that it names."""
    found = []
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        found.append((link, (page.parent / path).resolve() if path else page, anchor))
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = _targets(page)
    assert [link for link, file, _ in targets if not file.exists()] == []
    named = [(link, file, anchor) for link, file, anchor in targets if anchor and file.suffix == ".md"]
    assert [link for link, file, anchor in named if anchor not in anchors(file)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = MODULE.findall(page.read_text())
    assert [module for module in named if not (ROOT / module).exists()] == []


def test_the_index_names_every_page() -> None:
    decisions = DOCS / "decisions" / "README.md"
    listed = {file for index in (DOCS / "README.md", decisions) for _, file, _ in _targets(index)}
    assert set(DOCS.rglob("*.md")) - listed == {DOCS / "README.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


def test_the_glossary_has_a_dozen_words() -> None:
    assert len(table("docs/reference/glossary.md", "word", "meaning")) <= GLOSSARY_WORDS


def test_the_names_that_the_glossary_keeps_for_compatibility_exist() -> None:
    code = "\n".join(
        path.read_text() for package in PACKAGES for kind in ("*.py", "*.sql") for path in package.rglob(kind)
    )
    kept = {name for row in table("docs/reference/glossary.md", "name", "where") for name in names_in(row[0])}
    assert len(kept) >= 15
    assert {name for name in kept if not re.search(rf"\b{name}\b", code)} == set()


def test_the_guide_to_recovery_covers_every_reason_of_stuck_work() -> None:
    named = {
        name
        for see, _ in table("docs/how-to/recover.md", "you see", "do")
        if "`stuck`" in see
        for name in names_in(see)
    }
    assert named - {"stuck"} == set(get_args(StuckReason))


def test_decisions_are_numbered_once() -> None:
    decisions = sorted((DOCS / "decisions").glob("0*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert sorted(set(numbers)) == numbers
    for path in decisions:
        number = "NNNN" if path.name.startswith("0000") else path.name[:4]
        assert path.read_text().startswith(f"# {number}: "), path
