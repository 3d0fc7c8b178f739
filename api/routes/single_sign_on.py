"""Signing in to the pages at the identity provider: on the way there, and back."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.authentication import Authenticator
from api.callers import Caller
from api.dependencies import ONE_OF_EACH, ServicesDep
from api.oidc import Token, TokenRefused
from api.page_sessions import keeps_cookie, set_cookie
from api.page_views import SIGN_IN, START, see_other
from api.rate_limits import admit
from api.routes.sign_in import Onward, form_again, own_page, without_tls
from api.sign_in_places import address_of
from api.single_sign_on import Attempt, attempt_of, forget_attempt, keep_attempt
from api.turns import open_turn
from db.page_sessions import SubjectOwner

router = APIRouter(include_in_schema=False, dependencies=[open_turn, *ONE_OF_EACH])

AT_PROVIDER: Final = f"{SIGN_IN}/provider"
CALLBACK: Final = f"{SIGN_IN}/callback"


@router.get(AT_PROVIDER)
async def begin(request: Request, services: ServicesDep, onward: Onward = START) -> Response:
    """Send a browser to the identity provider."""
    if services.single_sign_on is None:
        return see_other(SIGN_IN)
    if not keeps_cookie(request):
        raise without_tls()
    attempt = Attempt(own_page(onward))
    response = see_other(await services.single_sign_on.address_of(attempt, _callback(request)))
    keep_attempt(response, attempt)
    return response


@router.get(CALLBACK)
async def finish(request: Request, services: ServicesDep) -> Response:
    """Open a session for who signed in at the provider, or show the form and say why not."""
    sign_on, authenticator = services.single_sign_on, services.authenticator
    if sign_on is None or authenticator is None:
        return see_other(SIGN_IN)
    attempt = attempt_of(request)
    onward = START if attempt is None else own_page(attempt.onward)
    response: Response
    try:
        async with services.page_sessions.exchange(address_of(request)):
            token = await sign_on.finish(attempt, request.query_params, _callback(request))
        caller = await _find_caller(token, authenticator)
    except TokenRefused as error:
        fault = f"The identity provider's answer can't be taken: {error.reason}. Sign in again."
        response = form_again(request, services, fault, onward=onward)
    else:
        await admit(request, caller, services.request_limits)
        owner = SubjectOwner(sign_on.issuer, token.subject, caller.scopes)
        session = await services.page_sessions.open(request, caller, owner, authenticator)
        response = see_other(onward)
        set_cookie(response, session)
    forget_attempt(response)
    return response


async def _find_caller(token: Token, authenticator: Authenticator) -> Caller:
    caller = await authenticator.caller_for(token)
    if caller is None:
        raise TokenRefused(f"there is no tenant {token.tenant!r} here")
    return caller


def _callback(request: Request) -> str:
    """Return the address to which the provider sends the browser back; it has to know it."""
    return f"{str(request.base_url).rstrip('/')}{CALLBACK}"
