"""Signing in to the pages with an API key, and signing out."""

import re
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import find_key, signed_in
from api.dependencies import ONE_OF_EACH, ServicesDep
from api.errors import BadRequest
from api.forms import read_form
from api.page_sessions import delete_cookie, keeps_cookie, session_of, set_cookie
from api.page_views import SESSION, SIGN_IN, START, page, see_other
from api.rate_limits import admit
from api.services import Services
from api.sign_in_places import address_of
from api.turns import open_turn
from db.page_sessions import KeyOwner
from domain.errors import Unauthenticated

router = APIRouter(include_in_schema=False, dependencies=[open_turn, *ONE_OF_EACH])

_OWN_PAGE: Final = re.compile(r"/ui(?:[/?][!-\[\]-~]{0,2000})?")
"""A path below ours in visible ASCII. Browsers read a backslash as a slash and skip tabs, so both are out."""
_TEMPLATE: Final = "sign_in.html"

Onward = Annotated[str, Query(alias="next", description="The page to go to afterwards.")]


@router.get(SIGN_IN)
async def show_sign_in(request: Request, services: ServicesDep, onward: Onward = START) -> Response:
    """Return the form, or go on if there is nobody to ask or somebody is signed in."""
    if services.authenticator is None:
        return see_other(START)
    session = session_of(request)
    if session is not None and await services.authenticator.caller_in(session) is not None:
        return see_other(own_page(onward))
    return page(
        request,
        _TEMPLATE,
        onward=own_page(onward),
        keeps_cookie=keeps_cookie(request),
        fault=None,
        provider=_provider(services),
    )


@router.post(SIGN_IN)
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Open a session for whoever has the API key, or show the form again and say what is wrong."""
    if services.authenticator is None:
        return see_other(START)
    if not keeps_cookie(request):
        raise without_tls()
    form = await read_form(request)
    onward, text = own_page(form.get("next", START)), form.get("key", "").strip()
    try:
        async with services.page_sessions.attempt(address_of(request)):
            key, caller = await find_key(request, text, services.authenticator)
    except Unauthenticated as error:
        return form_again(request, services, error.detail, onward=onward)
    await admit(request, caller, services.request_limits)
    response = see_other(onward)
    owner = KeyOwner(key.digest)
    set_cookie(response, await services.page_sessions.open(request, caller, owner, services.authenticator))
    return response


@router.post("/ui/sign-out", dependencies=[signed_in])
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """End the session of the page that asks."""
    session = getattr(request.state, SESSION, None)
    if session is None or services.authenticator is None:
        return see_other(START)
    await services.page_sessions.end(request, session, services.authenticator)
    response = see_other(SIGN_IN)
    delete_cookie(response)
    return response


def form_again(request: Request, services: Services, fault: str, *, onward: str) -> Response:
    """Return the form with what was wrong, and have the audit log show a refusal."""
    return page(
        request,
        _TEMPLATE,
        status=HTTPStatus.UNAUTHORIZED,
        problem=orjson.dumps({"code": Unauthenticated.code}),
        onward=onward,
        keeps_cookie=True,
        fault=fault,
        provider=_provider(services),
    )


def without_tls() -> BadRequest:
    """Return the refusal to sign in where the browser would keep no session."""
    detail = "Open this page by its https:// address: without TLS a browser keeps no session."
    return BadRequest(HTTPStatus.FORBIDDEN, "insecure_connection", detail)


def own_page(path: str) -> str:
    """Return the path if it is one of our pages, else that of the first: a link must not lead elsewhere from here."""
    return path if _OWN_PAGE.fullmatch(path) else START


def _provider(services: Services) -> str | None:
    """Return the host of the identity provider at which people can sign in, if there is one."""
    return None if services.single_sign_on is None else urlsplit(services.single_sign_on.issuer).hostname
