"""The description of imports has the fields that the domain reads, and no others."""

from api.schemas.imports import IMPORT_SUBMISSION
from domain.import_fields import POLICY_FIELDS, RECORD_TYPE_FIELDS, SOURCE_FIELDS, TOP_FIELDS
from domain.import_spec import ImportPolicy

TOP = IMPORT_SUBMISSION["properties"]
RECORD_TYPE = TOP["record_types"]["items"]
SOURCES = RECORD_TYPE["properties"]["source"]["oneOf"]


def test_an_import_is_described_with_its_fields() -> None:
    assert TOP.keys() == TOP_FIELDS
    assert RECORD_TYPE["properties"].keys() == RECORD_TYPE_FIELDS


def test_every_type_of_source_is_described_with_its_fields() -> None:
    described = {one["properties"]["type"]["const"]: one["properties"].keys() for one in SOURCES}
    assert described == SOURCE_FIELDS
    assert all(set(one["required"]) == one["properties"].keys() for one in SOURCES)


def test_the_policy_is_described_with_its_defaults() -> None:
    described = TOP["policy"]["properties"]
    assert described.keys() == POLICY_FIELDS
    assert {name: one["default"] for name, one in described.items()} == ImportPolicy().to_json()
    assert all(one["minimum"] <= one["default"] <= one["maximum"] for one in described.values())
