"""Bodies of a fixed form: how they are checked, and how OpenAPI describes them."""

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Body = TypeVar("Body", bound=BaseModel)


def validated(kind: type[Body], body: Any) -> Body:
    """Return a parsed JSON body as `kind`. Raises RequestValidationError with a place for each error."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise RequestValidationError([{**found, "loc": ("body", *found["loc"])} for found in error.errors()]) from None


def described_body(kind: type[BaseModel], examples: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """Return how OpenAPI describes such a body."""
    content = {"application/json": {"schema": kind.model_json_schema(), "examples": examples}}
    return {"requestBody": {"required": required, "content": content}}
