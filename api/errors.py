"""Every error as a problem: one table from error to HTTP status, and the handlers that read it.

Call `install(app)` after everything else that adds middleware: the first one that is added here is the innermost.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.cross_site import CrossSiteCheck
from api.hosts import HostCheck
from api.methods import Heads, allowed_methods
from api.page_views import is_page, show_problem
from api.problems import describe_problems, problem_response, problem_responses
from api.rate_limits import tell
from api.refusal_log import note_refusal
from api.request_ids import RequestIds, request_id_of
from api.security_headers import SecurityHeaders
from api.turns import NOBODY, take_turn
from db.engine import UNAVAILABLE
from domain.errors import (
    BreakwaterError,
    Conflict,
    CsrfTokenRequired,
    DatasetChanging,
    DuplicateJob,
    ExecutionNotUnknown,
    FieldError,
    FilterMissing,
    ImportSuperseded,
    JobCancelled,
    JobIdConflict,
    KeyInFlight,
    KeyReused,
    KindNotServed,
    LimitReached,
    NameTaken,
    NotFound,
    Overloaded,
    ParameterError,
    ParametersRejected,
    QuotaExceeded,
    RateLimited,
    RolesChanged,
    ScopeMissing,
    SpecRejected,
    SubmissionInFlight,
    Unauthenticated,
    shared_code,
)
from domain.notes import cut

__all__ = ["BadRequest", "install", "problem_responses"]

log = structlog.stdlib.get_logger()


Answer = Callable[[Request, Exception], Awaitable[Response]]


class StatusAndTitle(NamedTuple):
    """The status and title of an error's response."""

    status: int
    title: str


class BadRequest(BreakwaterError):
    """The request can't be read: 400, 413 or 415 with a code of its own.

    The named header is at fault, else the body.
    """

    def __init__(self, status: int, code: str, detail: str, *, header: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.errors = (ParameterError(header, code, detail) if header else FieldError("", code, detail),)


RESPONSES: Mapping[type[BreakwaterError], StatusAndTitle] = {
    SpecRejected: StatusAndTitle(422, "The spec can't be taken"),
    ParametersRejected: StatusAndTitle(422, "A parameter can't be taken"),
    FilterMissing: StatusAndTitle(422, "There is no filter"),
    JobIdConflict: StatusAndTitle(409, "The job id is taken by another spec"),
    DuplicateJob: StatusAndTitle(409, "The same job is active or recent"),
    SubmissionInFlight: StatusAndTitle(409, "The same job is being submitted"),
    KeyInFlight: StatusAndTitle(409, "The first request with this Idempotency-Key hasn't ended"),
    JobCancelled: StatusAndTitle(409, "The job was cancelled"),
    KindNotServed: StatusAndTitle(409, "This process doesn't know the job's kind"),
    ImportSuperseded: StatusAndTitle(409, "A newer import completed"),
    DatasetChanging: StatusAndTitle(409, "Another import loads the same record type"),
    NameTaken: StatusAndTitle(409, "The name is taken"),
    ExecutionNotUnknown: StatusAndTitle(409, "There is nothing to resolve"),
    Conflict: StatusAndTitle(409, "This contradicts what is stored"),
    KeyReused: StatusAndTitle(422, "The Idempotency-Key came with another request"),
    Unauthenticated: StatusAndTitle(401, "There is no valid API key"),
    ScopeMissing: StatusAndTitle(403, "The API key may not do this"),
    CsrfTokenRequired: StatusAndTitle(403, "The session's token is missing"),
    RateLimited: StatusAndTitle(429, "The requests of the API key or tenant come too fast"),
    QuotaExceeded: StatusAndTitle(429, "A quota of the API key or tenant is used up"),
    LimitReached: StatusAndTitle(429, "A limit of the API key is reached"),
    NotFound: StatusAndTitle(404, "There is no such thing"),
    RolesChanged: StatusAndTitle(503, "The database's roles have changed"),
    Overloaded: StatusAndTitle(503, "Come back later"),
    BreakwaterError: StatusAndTitle(400, "The request can't be taken"),
}
HTTP_CODES: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request can't be read."),
    404: ("unknown_path", "There is nothing at this path; /docs shows what there is."),
    405: ("method_not_allowed", "This path doesn't take this method; `Allow` names those it takes."),
    406: ("not_acceptable", "None of the media types in `Accept` can be given."),
    413: ("body_too_large", "The body is too large."),
    415: ("unsupported_media_type", "Send the body as application/json."),
    422: ("unprocessable", "The request can't be taken."),
    500: ("internal_error", "Something failed here. It is logged under the request id."),
    503: ("unavailable", "This can't be served now; try again."),
}
CLIENT_LEFT = 499
"""The status that metrics count for a client that closed the connection within its request; it is never sent."""
SERVER = "*"
"""The path of an OPTIONS request about the whole server."""
IN_FLIGHT_RETRY_SECONDS = 1
DATABASE_RETRY_SECONDS = 1


def install(app: FastAPI) -> None:
    """Answer every 4xx and 5xx of the app as a problem that carries the request's id; refuse foreign ones."""
    app.add_exception_handler(BreakwaterError, _shown(_answer_domain_error))
    app.add_exception_handler(RequestValidationError, _shown(_answer_invalid_request))
    app.add_exception_handler(HTTPException, _shown(_answer_http_error))
    app.add_exception_handler(ClientDisconnect, _note_client_left)
    for unavailable in UNAVAILABLE:
        app.add_exception_handler(unavailable, _shown(_answer_without_database))
    app.add_middleware(CrossSiteCheck)
    app.add_middleware(HostCheck)
    app.add_middleware(RequestIds, problem_of=_plain_problem, on_problem=note_refusal)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Heads)
    describe_problems(app)


def _shown(answer: Answer) -> Answer:
    """Have problems of pages be shown as pages."""

    async def show(request: Request, error: Exception) -> Response:
        if not hasattr(request.state, "caller"):
            await take_turn(request, NOBODY)
        response = await answer(request, error)
        is_problem = response.status_code >= HTTPStatus.BAD_REQUEST
        return show_problem(request, response) if is_problem and is_page(request) else response

    return show


async def _answer_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BreakwaterError)  # noqa: S101 - Starlette's signature is wider than its calls
    status, title = _answer_of(error)
    if isinstance(error, LimitReached):
        tell(request, [error.quota])
        request.app.state.requests_limited.labels(error.quota.name).inc()
    reasons = getattr(error, "errors", ())
    return problem_response(
        request_id=request_id_of(request.scope),
        status=status,
        title=title,
        detail=error.detail,
        code=error.code,
        errors=[reason.to_json() for reason in reasons],
        members=error.members,
        headers=_headers(error),
    )


def _answer_of(error: BreakwaterError) -> StatusAndTitle:
    if isinstance(error, BadRequest):
        return StatusAndTitle(error.status, HTTPStatus(error.status).phrase)
    return next(RESPONSES[kind] for kind in type(error).__mro__ if kind in RESPONSES)


def _headers(error: BreakwaterError) -> dict[str, str]:
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case Overloaded() | LimitReached():
            return {"Retry-After": str(error.retry_after_seconds)}
        case KeyInFlight() | SubmissionInFlight():
            return {"Retry-After": str(IN_FLIGHT_RETRY_SECONDS)}
        case _:
            return {}


async def _answer_without_database(request: Request, error: Exception) -> Response:
    log.warning("database_unavailable", error=f"{type(error).__name__}: {error}")
    return problem_response(
        request_id=request_id_of(request.scope),
        status=503,
        title="The database is away",
        detail="The database can't be reached, or commits nothing, and whether this took effect isn't known. Repeat it;"
        " with the same Idempotency-Key it takes effect once.",
        code="database_unavailable",
        headers={"Retry-After": str(DATABASE_RETRY_SECONDS)},
    )


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's signature is wider than its calls
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(allowed_methods(request, error))
    if request.method == "OPTIONS" and ("Allow" in headers or request.scope["path"] == SERVER):
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    response = _plain_problem(error.status_code, request_id_of(request.scope))
    response.headers.update(headers)
    return response


async def _note_client_left(request: Request, _: Exception) -> Response:
    """Log a request that the client broke off; only the metrics see the response."""
    log.info("request_abandoned", method=request.method)
    return problem_response(
        request_id=request_id_of(request.scope),
        status=CLIENT_LEFT,
        title="The client left",
        detail="The connection was closed before the request had been sent to its end.",
        code="client_closed_request",
    )


def _plain_problem(status: int, request_id: str) -> Response:
    """Return the problem of a status alone."""
    phrase = HTTPStatus(status).phrase
    code, detail = HTTP_CODES.get(status) or (phrase.lower().replace(" ", "_"), f"{phrase}.")
    return problem_response(request_id=request_id, status=status, title=phrase, detail=detail, code=code)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - Starlette's signature is wider than its calls
    found = list(error.errors())
    if any(each["type"] == "json_invalid" for each in found):
        malformed = BadRequest(400, "malformed_json", "The body isn't JSON.")
        return await _answer_domain_error(request, malformed)
    reasons = [_reason(each) for each in found]
    return problem_response(
        request_id=request_id_of(request.scope),
        status=422,
        title=RESPONSES[ParametersRejected].title,
        detail=reasons[0].detail if len(reasons) == 1 else f"The request has {len(reasons)} errors.",
        code=shared_code(reasons) or ParametersRejected.code,
        errors=[reason.to_json() for reason in reasons],
    )


def _reason(found: Mapping[str, Any]) -> FieldError | ParameterError:
    """Return a reason for an error; pydantic's messages name bounds and types, never a value."""
    where, *rest = found["loc"]
    is_unknown = found["type"] == "extra_forbidden"
    if where == "body":
        pointer = _pointer(rest)
        if is_unknown:
            return FieldError(pointer, "unknown_field", "There is no such field.")
        return FieldError(pointer, "invalid_field", found["msg"])
    name = cut(str(rest[0])) if rest else ""
    if is_unknown:
        return ParameterError(name, "unknown_parameter", f"There is no parameter `{name}` here.")
    return ParameterError(name, "invalid_parameter", f"`{name}`: {found['msg']}.")


def _pointer(tokens: Iterable[str | int]) -> str:
    return "".join("/" + cut(str(token)).replace("~", "~0").replace("/", "~1") for token in tokens)
