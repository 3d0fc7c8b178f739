"""Refusals of whole requests, before any route is looked up: a problem that names the header at fault."""

from http import HTTPStatus

from fastapi.responses import Response
from starlette.types import Scope

from api.problems import problem_response
from api.request_ids import request_id_of
from domain.errors import ParameterError


def refusal(scope: Scope, status: HTTPStatus, fault: ParameterError) -> Response:
    """Return the response to a request that is refused for one of its headers."""
    return problem_response(
        request_id=request_id_of(scope),
        status=status,
        title=status.phrase,
        detail=fault.detail,
        code=fault.code,
        errors=[fault.to_json()],
    )
