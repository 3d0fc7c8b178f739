"""Sessions of pages for tests: signing in as a browser's form does, and requests that carry the cookie."""

import re
import secrets
from dataclasses import dataclass

import httpx2

from db.engine import Connection
from db.page_sessions import NewSession, SubjectOwner, open_session
from domain.scopes import Scope

COOKIE = "__Host-breakwater"
_TOKEN = re.compile(r'<meta name="csrf-token" content="([^"]+)">')


@dataclass(frozen=True)
class SignedIn:
    """A session: the value of its cookie and its CSRF token."""

    http: httpx2.AsyncClient
    secret: str
    token: str

    @property
    def cookie(self) -> dict[str, str]:
        """The header by which a browser sends the session."""
        return {"Cookie": f"{COOKIE}={self.secret}"}

    @property
    def headers(self) -> dict[str, str]:
        """What a page's own script sends."""
        return {**self.cookie, "X-CSRF-Token": self.token, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path: str) -> httpx2.Response:
        """GET in the session."""
        return await self.http.get(path, headers=self.cookie)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """POST in the session, as a page's own script does."""
        return await self.http.post(path, json=body, headers={**self.headers, **headers})

    async def send_form(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form in the session."""
        return await self.http.post(path, data=fields, headers=self.cookie)


async def send_key(
    http: httpx2.AsyncClient, key: str, *, cookie: str | None = None, onward: str = "/ui"
) -> httpx2.Response:
    """Send the form of /ui/sign-in."""
    headers = {} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"}
    return await http.post("/ui/sign-in", data={"key": key, "next": onward}, headers=headers)


def secret_in(answer: httpx2.Response) -> str:
    """The session that an answer gives to the browser."""
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == COOKIE
    return rest.partition(";")[0]


async def sign_in(http: httpx2.AsyncClient, key: str) -> SignedIn:
    """Sign in with a key."""
    answer = await send_key(http, key)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui"), answer.text
    return await opened(http, secret_in(answer))


async def opened(http: httpx2.AsyncClient, secret: str) -> SignedIn:
    """A session whose cookie is known, with the token that its pages show."""
    shown = await http.get("/ui", headers={"Cookie": f"{COOKIE}={secret}"})
    assert shown.status_code == 200, shown.text
    found = _TOKEN.search(shown.text)
    assert found is not None
    return SignedIn(http, secret, found[1])


async def open_for_subject(connection: Connection, subject: str = "ann", *, tenant_no: int = 1) -> str:
    """Open a session for whoever signed in at an identity provider; return its id. Nobody has its cookie."""
    owner = SubjectOwner("https://id.example", subject, frozenset({Scope.JOBS_READ}))
    new = NewSession(secrets.token_hex(6), secrets.token_bytes(32), tenant_no, owner, 3600)
    await open_session(connection, new)
    return new.id
