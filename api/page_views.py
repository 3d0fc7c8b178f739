"""Pages under `/ui`, drawn on the server from the templates in `api/ui/templates`; they work without JavaScript.

A problem of such a request is shown as a page too. Who has to sign in is sent to do so.
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

START: Final = "/ui"
SIGN_IN: Final = "/ui/sign-in"
SESSION: Final = "page_session"
"""The member of a request's state that holds the secret of the session by which it was allowed."""
PAGE_PROBLEM: Final = "page_problem"
"""The member of a request's state that holds the problem document that its page shows."""
_TEMPLATES: Final = Path(__file__).resolve().parent / "ui" / "templates"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self'; "
        "style-src 'self'; script-src 'self'; connect-src 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
}


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
    shown = {"csrf_token": None if session is None else session.csrf_token, **values}
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


def see_other(path: str) -> RedirectResponse:
    """Send a browser to a page of ours by GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
