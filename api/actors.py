"""The actor and the reason of an action: both are recorded with it."""

from typing import Annotated, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.bodies import read_optional_json
from api.callers import caller_of
from api.filters import refuse_nul
from api.idempotent_actions import Action
from api.validating import described_body, validated
from db.controls import Actor
from domain.redaction import hide_secrets

MAX_REASON = 500

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MAX_REASON),
    AfterValidator(refuse_nul),
    AfterValidator(hide_secrets),
]


class Because(BaseModel):
    """The reason for an action."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = Field(default=None, description="It is kept with the action, for later readers.")


Asked = TypeVar("Asked", bound=BaseModel)


BECAUSE = described_body(Because, {"because": {"value": {"reason": "Its provider has an outage."}}}, required=False)
"""How OpenAPI describes the optional body of an action that takes nothing but a reason."""


def actor_name(request: Request) -> str:
    """Return the name that an action is recorded under: its API key, or the address it came from if it has none."""
    if (name := caller_of(request).name) is not None:
        return name
    return f"api:{request.client.host if request.client else 'unknown'}"


async def actor_of(request: Request, action: Action, because: Because) -> Actor:
    """Return the actor and the reason with which an action is recorded, and the quotas on which it counts."""
    return Actor(actor_name(request), because.reason, await action.worker_no(), caller_of(request).limited_by)


async def read_because(request: Request) -> Because:
    """Return the reason that the optional body gives. Raises BadRequest and RequestValidationError."""
    return await read_action_body(request, Because)


async def read_action_body(request: Request, kind: type[Asked]) -> Asked:
    """Return the optional body, read as `kind`; without a body, its defaults. Raises as `read_because`."""
    return validated(kind, await read_optional_json(request))
