"""The OpenAPI description, with the bodies of the served kinds."""

from typing import Any

from fastapi import FastAPI

from api.kinds import Kinds


def describe(app: FastAPI, kinds: Kinds) -> None:
    """Add these kinds and the bodies of their specs to the app's description."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_kinds(plain(), kinds)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def _add_kinds(described: dict[str, Any], kinds: Kinds) -> None:
    schemas = described["components"]["schemas"]
    schemas["Kind"]["enum"] = kinds.names
    schemas["JobInShort"]["properties"]["kind"]["enum"] = kinds.names
    body = described["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = {"oneOf": [dict(kind.body_schema) for kind in kinds.served]}
    body["examples"] = {name: example for kind in kinds.served for name, example in kind.body_examples.items()}
