"""Sessions of pages: the cookie that carries one, opening and ending it, and what makes a request of it genuine.

Browsers send the cookie by themselves, so a request that changes something also needs the session's CSRF token, which
only pages of the session show.
"""

import secrets
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from api.auditing import entry_of
from api.authentication import Authenticator
from api.callers import Caller
from api.forms import read_form
from api.page_views import is_page
from api.sign_in_places import SignInPlaces
from db import audit_log
from db.audit_log import AuditOutcome
from db.engine import QUICK_SECONDS, Connection, Engine, in_transaction
from db.page_sessions import KeyOwner, NewSession, SubjectOwner, end_session, open_session
from domain.api_keys import make_id
from domain.errors import CsrfTokenRequired
from domain.page_sessions import SECRET_BYTES, SessionSecret, make_secret, read_secret
from runtime.settings import Settings

COOKIE: Final = "__Host-breakwater"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf_token"
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SIGN_INS_AT_ONCE: Final = 4
"""Whoever tries keys at random keeps so many connections busy at most."""
EXCHANGES_AT_ONCE: Final = 8
"""Places of their own: whoever fills them, by codes that a provider is slow to refuse, keeps nobody with a key out."""
WAIT_SECONDS: Final = 4.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def session_of(request: Request) -> SessionSecret | None:
    """Return the secret in the request's cookie; None without a well-formed one, or with several."""
    given = [
        value
        for header in request.headers.getlist("cookie")
        for name, _, value in (pair.strip().partition("=") for pair in header.split(";"))
        if name == COOKIE
    ]
    return read_secret(given[0]) if len(given) == 1 else None


async def refuse_forged(request: Request, session: SessionSecret) -> None:
    """Refuse what could change something unless a page of the session sent it. Raises CsrfTokenRequired."""
    if request.method in READING:
        return
    given = request.headers.get(CSRF_HEADER)
    if given is None and is_page(request):
        given = (await read_form(request)).get(CSRF_FIELD)
    if given is None or not session.has_csrf_token(given):
        raise CsrfTokenRequired(
            f"A request of a session that changes something needs the session's token in `{CSRF_HEADER}`, or in the "
            f"field `{CSRF_FIELD}` of a form. Reload the page; a program sends an API key."
        )


def keeps_cookie(request: Request) -> bool:
    """Return whether the browser takes a cookie for https alone from this address: it is https, or loopback.

    Browsers send Fetch metadata to such addresses only, also where a proxy ends TLS and doesn't say so.
    """
    return request.url.scheme == "https" or request.url.hostname in _LOOPBACK or "sec-fetch-site" in request.headers


def set_cookie(response: Response, session: SessionSecret) -> None:
    """Give the browser a session until it is closed. Links from elsewhere lead into it (SameSite=Lax)."""
    response.set_cookie(COOKIE, session.text, path="/", secure=True, httponly=True, samesite="lax")


def delete_cookie(response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


class PageSessions:
    """Opens and ends sessions, each with its entry in the audit log."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._sign_ins = SignInPlaces(SIGN_INS_AT_ONCE)
        self._exchanges = SignInPlaces(EXCHANGES_AT_ONCE)

    def attempt(self, address: str) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of a sign-in by key from this address. Raises Overloaded."""
        return self._sign_ins.place(address, wait_seconds=WAIT_SECONDS)

    def exchange(self, address: str) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of an exchange with the identity provider. Raises Overloaded."""
        return self._exchanges.place(address, wait_seconds=WAIT_SECONDS)

    async def open(
        self, request: Request, caller: Caller, owner: KeyOwner | SubjectOwner, authenticator: Authenticator
    ) -> SessionSecret:
        """Open a session under a new secret and end the one that the request came with. Raises one of UNAVAILABLE."""
        secret = make_secret(secrets.token_bytes(SECRET_BYTES))
        lifetime_seconds = self._settings.session_seconds
        if isinstance(owner, SubjectOwner):
            lifetime_seconds = min(lifetime_seconds, self._settings.oidc_session_seconds)
        new = NewSession(make_id(secrets.randbits(128)), secret.digest, caller.tenant_no, owner, lifetime_seconds)
        before = session_of(request)
        request.state.caller = replace(caller, session_id=new.id)
        entry = entry_of(request.scope, AuditOutcome.DONE, HTTPStatus.SEE_OTHER)

        async def unit(connection: Connection) -> None:
            if before is not None:
                await end_session(connection, before.digest)
            await open_session(connection, new)
            await audit_log.enter(connection, [entry])

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)
        if before is not None:
            authenticator.forget(before)
        return secret

    async def end(self, request: Request, session: SessionSecret, authenticator: Authenticator) -> None:
        """End the session of a request. Raises one of UNAVAILABLE."""
        entry = entry_of(request.scope, AuditOutcome.DONE, HTTPStatus.SEE_OTHER)

        async def unit(connection: Connection) -> None:
            await end_session(connection, session.digest)
            await audit_log.enter(connection, [entry])

        await in_transaction(self._engine, unit, seconds=QUICK_SECONDS)
        authenticator.forget(session)
