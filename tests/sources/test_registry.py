"""Every type of source that is listed is whole: documented, in the API's schema, opened by its package."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from api.schemas.imports import IMPORT_SUBMISSION
from domain.sources.registry import SETTINGS_BY_CONNECTION, SOURCES, source_from_json
from domain.sources.source import ConnectionSource

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "sources.md").read_text()
LISTED = re.compile(r"^\| `(\w+)` \| \[[^]]+\]\((sources/\w+\.md)\)[^|]*\|", re.MULTILINE)


def test_the_documentation_lists_the_types_and_has_a_page_for_each():
    assert LISTED.findall(PAGE) == [(source.type_name, f"sources/{source.type_name}.md") for source in SOURCES]
    for source in SOURCES:
        assert f'"type": "{source.type_name}"' in (REFERENCE / f"sources/{source.type_name}.md").read_text()
    assert set(re.findall(r'(?:^|# )type = "(\w+)"', PAGE, re.MULTILINE)) == set(SETTINGS_BY_CONNECTION)


def test_the_schema_of_a_submission_has_each_type_with_its_fields():
    record_types = IMPORT_SUBMISSION["properties"]["record_types"]["items"]["properties"]
    forms = record_types["source"]["oneOf"]
    shown = {form["properties"]["type"]["const"]: set(form["required"]) - {"type"} for form in forms}
    assert shown == {source.type_name: set(source.schemas) for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.type_name)
def test_a_source_is_the_same_after_its_json(source):
    made = source(**{name: name.upper() for name in source.schemas})
    assert source_from_json(made.to_json()) == made
    assert made.to_json() == {"type": source.type_name, **{name: name.upper() for name in source.schemas}}
    assert made.label.format(**made.names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.type_name)
def test_each_type_has_a_package_that_opens_it(source):
    opener = import_module(f"sources.{source.type_name}.opening").Opener
    assert {"open", "follow", "aclose"} <= set(dir(opener))
    if not issubclass(source, ConnectionSource):
        assert callable(import_module(f"sources.{source.type_name}.conversion").pin)
