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
    described = {source["properties"]["type"]["const"]: source["properties"].keys() for source in SOURCES}
    assert described == SOURCE_FIELDS
    assert all(set(source["required"]) == source["properties"].keys() for source in SOURCES)


def test_the_policy_is_described_with_its_defaults() -> None:
    described = TOP["policy"]["properties"]
    assert described.keys() == POLICY_FIELDS
    assert {name: described_type["default"] for name, described_type in described.items()} == ImportPolicy().to_json()
    assert all(
        described_type["minimum"] <= described_type["default"] <= described_type["maximum"]
        for described_type in described.values()
    )
