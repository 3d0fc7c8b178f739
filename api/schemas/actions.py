"""A request that helps, as answers name it."""

from typing import Literal

from pydantic import BaseModel


class Action(BaseModel):
    """A request that a person may send; safe to send twice."""

    method: Literal["POST"] = "POST"
    path: str
