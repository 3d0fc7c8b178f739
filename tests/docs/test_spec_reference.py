"""The reference of specs names every field that the schema has, with its type, bounds and default."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.documentation import ROOT, names_in, table

SCHEMAS = json.loads((ROOT / "openapi.json").read_text())["components"]["schemas"]
SCHEMA_BY_KIND = {"inference": SCHEMAS["InferenceSpec"], "import": SCHEMAS["ImportSpec"]}


def _fields(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, str, str]]:
    """Each field of a schema: its path, its values and its default, as the reference writes them."""
    for name, member in schema.get("properties", {}).items():
        path = f"{at}{name}"
        yield path, _takes(member), json.dumps(member["default"]) if "default" in member else ""
        yield from _within(member, path)


def _within(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    yield from _fields(schema, f"{path}.")
    for variant in schema.get("oneOf", ()):
        yield from _fields(variant, f"{path}.")
    if "items" in schema:
        yield from _within(schema["items"], f"{path}[]")


def _takes(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_takes(variant) for variant in schema["oneOf"]))
    kind = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
    if kind == "array":
        return f"array of {schema.get('minItems', 0)} to {schema['maxItems']}: {_takes(schema['items'])}"
    if "minimum" in schema:
        return f"{kind}, {schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        return f"{kind}, {schema['minLength']} to {schema['maxLength']} characters"
    return kind


def _joined(taken: set[str]) -> str:
    """The values of several variants of a field; a variant for any text covers a bounded one."""
    return " or ".join(sorted(takes for takes in taken if takes.split(",")[0] not in taken - {takes}))


@pytest.mark.parametrize("kind", SCHEMA_BY_KIND)
def test_the_reference_names_every_field_of_a_spec(kind: str) -> None:
    wanted: dict[str, tuple[set[str], str]] = {}
    for path, takes, default in _fields(SCHEMA_BY_KIND[kind]):
        taken, _ = wanted.setdefault(path, (set(), default))
        taken.add(takes)
    rows = table("docs/reference/spec.md", f"field of an {kind} spec", "takes", "default")
    given = {names_in(row[0])[0]: (row[1], row[2].strip("`")) for row in rows}
    assert given == {path: (_joined(taken), default) for path, (taken, default) in wanted.items()}
    assert all(len(row) == 4 for row in rows)  # a meaning, which may be empty


def test_the_reference_names_every_action_of_a_note() -> None:
    schema = json.loads((ROOT / "openapi.json").read_text())["components"]["schemas"]["NormalizationNote"]
    named = [names_in(row[0])[0] for row in table("docs/reference/spec.md", "`action`", "means")]
    assert named == schema["properties"]["action"]["enum"]
