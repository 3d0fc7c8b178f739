"""Pages under `/ui`, drawn on the server from the templates in `api/ui/templates`.

They show their facts without JavaScript; with it they stay current and act. A problem of such a request is shown as a
page too. A reader who isn't signed in is sent to do so.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError

from api.callers import ANYBODY, Caller
from api.page_filters import FILTERS
from domain.scopes import Scope

START: Final = "/ui"
SIGN_IN: Final = "/ui/sign-in"
SESSION: Final = "page_session"
"""The member of a request's state that holds the secret of the session by which it was allowed."""
PAGE_PROBLEM: Final = "page_problem"
"""The member of a request's state that holds the problem document that its page shows."""
JOBS: Final = "/ui/jobs"
NAVIGATION: Final[tuple[tuple[str, str, Scope | None], ...]] = (
    ("Overview", START, None),
    ("Jobs", JOBS, Scope.JOBS_READ),
    ("Submit", "/ui/submit", Scope.JOBS_WRITE),
    ("Queue", "/ui/queue", Scope.OPERATE),
    ("Datasets", "/ui/datasets", Scope.RESULTS_READ),
    ("Operations", "/ui/operations", Scope.OPERATE),
    ("Keys", "/ui/keys", Scope.ADMIN),
)
"""The pages that each page links to: name, path and the scope that one needs."""
_TEMPLATES: Final = Path(__file__).resolve().parent / "ui" / "templates"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self'; "
        "style-src 'self'; script-src 'self'; connect-src 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
}


Filters = TypeVar("Filters", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the navigation of another."""

    name: str
    path: str
    is_current: bool


def is_page(request: Request) -> bool:
    """Return whether a request is one for a page under `/ui`, or of a form on it."""
    path = request.url.path
    return path == START or path.startswith(START + "/")


def page(
    request: Request, template: str, *, status: int = HTTPStatus.OK, problem: bytes | None = None, **values: object
) -> HTMLResponse:
    """Return a page. With a 4xx or 5xx `status` comes the `problem` document, whose code the audit log shows."""
    if problem is not None:
        setattr(request.state, PAGE_PROBLEM, problem)
    session = getattr(request.state, SESSION, None)
    caller: Caller | None = getattr(request.state, "caller", None)
    shown = {
        "csrf_token": None if session is None else session.csrf_token,
        "caller": caller,
        "is_open": caller is ANYBODY,
        "scopes": frozenset() if caller is None else caller.scopes,
        "navigation": _navigation(request.url.path, caller),
        "now": datetime.now(UTC),
        **values,
    }
    return HTMLResponse(_templates().get_template(template).render(shown), status, headers=_HEADERS)


def show_problem(request: Request, problem: Response) -> Response:
    """Return a problem document as a page, or send its reader to sign in and then back to the page."""
    if problem.status_code == HTTPStatus.UNAUTHORIZED:
        return sign_in_first(request)
    document = bytes(problem.body)
    told = orjson.loads(document)
    shown = page(request, "problem.html", status=problem.status_code, problem=document, told=told)
    kept = {name: value for name, value in problem.headers.items() if not name.startswith("content-")}
    shown.headers.update(kept)
    return shown


def sign_in_first(request: Request) -> Response:
    """Send the reader of a page to sign in; a form is lost, since its page may show something else by then."""
    if request.method != "GET":
        return see_other(SIGN_IN)
    path = quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    return see_other(f"{SIGN_IN}?{urlencode({'next': path})}")


def next_address(request: Request, cursor: str | None) -> str | None:
    """Return the address of a list's next page, with the filters of this one; None after the last."""
    if cursor is None:
        return None
    following = request.url.include_query_params(cursor=cursor)
    return f"{following.path}?{following.query}"


def read_filters(request: Request, filters: type[Filters]) -> Filters:
    """Return the filters in a page's address; a form sends its empty fields too. Raises RequestValidationError."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    try:
        return filters.model_validate(given)
    except ValidationError as error:
        at_fault = [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(at_fault) from None


def see_other(path: str) -> RedirectResponse:
    """Send a browser to a page of ours by GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


def _navigation(path: str, caller: Caller | None) -> list[Link]:
    """Return the links to the pages that the caller may open; none for a reader who isn't signed in."""
    if caller is None:
        return []
    return [
        Link(name, target, is_current=path == target or (target != START and path.startswith(target + "/")))
        for name, target, scope in NAVIGATION
        if scope is None or scope in caller.scopes
    ]


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment
