"""Who does something to the service, and why: what an operator's action is recorded with."""

from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from api.bodies import read_optional_json
from api.filters import refuse_nul

LONGEST_REASON = 500

Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REASON), AfterValidator(refuse_nul)]


class Because(BaseModel):
    """Why somebody does something."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = Field(default=None, description="For whoever reads the record later.")


BECAUSE: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": Because.model_json_schema(),
                "examples": {"because": {"value": {"reason": "Its provider has an outage."}}},
            }
        },
    }
}
"""How OpenAPI describes the optional body of an action."""


def who(request: Request) -> str:
    """Return whom an action is recorded under: the address it came from, while there is no authentication."""
    return f"api:{request.client.host if request.client else 'unknown'}"


async def read_because(request: Request) -> Because:
    """Return the reason that the optional body gives. Raises BadRequest and RequestValidationError."""
    body = await read_optional_json(request)
    try:
        return Because.model_validate(body)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None
