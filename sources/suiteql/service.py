"""NetSuite's SuiteQL over REST: one page per call, a few calls at a time, retried while the service is busy."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any

import httpx2

from runtime.retrying import retry_within
from sources.errors import SourceBusy, SourceError, SourceRefused, SourceTimeout, SourceUnavailable, Unreadable
from sources.values import NotJson, raw_json

PATH = "/services/rest/query/v1/suiteql"
MAX_CONCURRENT = 5
"""Calls in flight per connection and process; all workers share NetSuite's own limit, which is per account."""
PAGE_ROWS = 1000
"""The largest page the service gives. An offset must be a multiple of the page."""
OFFSET_CAP_ROWS = 99_000
"""Rows of a query that can be reached by offset; rows beyond them take another query."""
CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 3.0
"""Below the 5 s after which common servers close an idle connection."""
ANSWER_BYTES = 32 * 2**20
CODE_CHARACTERS = 100
"""A longer code of an error isn't shown: cut, it could be the half of a token."""
_BACKOFF_BASE_SECONDS = 0.5
_BACKOFF_CAP_SECONDS = 30.0


class QueryRefused(SourceRefused):
    """The service refuses this query; another query may succeed."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a query's rows, and the number of all its rows."""

    items: list[dict[str, Any]]
    total: int
    has_more: bool


class SuiteqlConnection:
    """A configured connection. A spec can name only its `queries`.

    `call_seconds` bounds one call, `retry_seconds` how long it is retried while the service is busy or unavailable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str,
        queries: Mapping[str, str],
        max_concurrent: int = MAX_CONCURRENT,
        call_seconds: float = 180,
        retry_seconds: float = 120,
    ) -> None:
        self.queries = queries
        self._token = token
        self._retry_seconds = retry_seconds
        self._call_seconds = call_seconds
        # The client has no limit of its own: it would count the wait for a permit as part of a call's time.
        self._permits = asyncio.Semaphore(min(max_concurrent, MAX_CONCURRENT))
        self._url = base_url.rstrip("/") + PATH
        self._client = httpx2.AsyncClient(
            headers={
                "Authorization": f"Bearer {token}",
                "Prefer": "transient",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"breakwater/{version('breakwater')}",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            limits=httpx2.Limits(max_keepalive_connections=MAX_CONCURRENT, keepalive_expiry=KEEP_ALIVE_SECONDS),
            timeout=httpx2.Timeout(call_seconds, connect=min(CONNECT_SECONDS, call_seconds)),
            trust_env=False,
        )

    async def page(self, query: str, *, limit: int = PAGE_ROWS, offset: int = 0) -> Page:
        """Return a page of a query; retry with growing, jittered waits while the service is busy or unavailable.

        `limit` is at most PAGE_ROWS, `offset` a multiple of it. Raises QueryRefused for a query that is refused,
        SourceRefused for the credentials, SourceBusy and SourceUnavailable once `retry_seconds` are over.
        """

        async def ask() -> Page:
            async with self._permits:  # released between two tries: a waiting call holds no permit
                return _page(await self._call(query, limit=limit, offset=offset))

        return await retry_within(ask, on=(SourceUnavailable,), seconds=self._retry_seconds, wait_seconds=_wait_seconds)

    async def aclose(self) -> None:
        """End every call and close the connections."""
        await self._client.aclose()

    async def _call(self, query: str, *, limit: int, offset: int) -> Any:
        """Post the query once, within the limit. It only reads, so repeating it is always safe."""
        try:
            async with (
                asyncio.timeout(self._call_seconds),
                self._client.stream(
                    "POST", self._url, params={"limit": limit, "offset": offset}, json={"q": query}
                ) as answer,
            ):
                content = await _content(answer)
        except httpx2.ConnectTimeout:
            raise SourceUnavailable("The SuiteQL service can't be reached (ConnectTimeout).") from None
        except (TimeoutError, httpx2.TimeoutException):
            raise SourceTimeout("The SuiteQL service gave no answer within the limit.") from None
        except httpx2.TransportError as error:
            raise SourceUnavailable(f"The SuiteQL service can't be reached ({type(error).__name__}).") from None
        if not answer.is_success:
            raise _refusal(answer, content, self._token)
        return _parsed(content)


async def _content(answer: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) > ANSWER_BYTES:
            raise Unreadable(f"A page of the SuiteQL service has more than {ANSWER_BYTES} bytes: select fewer columns.")
    return bytes(content)


def _page(body: Any) -> Page:
    match body:
        case {"items": list(items), "totalResults": int(total), "hasMore": bool(has_more)}:
            rows = [{name: value for name, value in item.items() if name != "links"} for item in items]
            return Page(rows, total, has_more)
    raise Unreadable("The SuiteQL service's answer has not the form of a page: items, totalResults, hasMore.")


def _parsed(content: bytes) -> Any:
    try:
        return raw_json(content)
    except NotJson as error:
        raise Unreadable(f"The SuiteQL service's answer {error}.") from None


def _refusal(answer: httpx2.Response, content: bytes, token: str) -> SourceError:
    """Return the error for an unsuccessful answer. Its text may show values, so only its code is shown."""
    code = _error_code(content)
    shown = f"{answer.status_code}{f' {code}' if code and token not in code else ''}"
    match answer.status_code:
        case 429:
            return SourceBusy(
                f"The SuiteQL service is busy ({shown}).", retry_after_seconds=_retry_after_seconds(answer)
            )
        case 401 | 403:
            return SourceRefused(f"The SuiteQL service refused the connection's token ({shown}).")
        case 400:
            return QueryRefused(f"The SuiteQL service refused the query ({shown}).")
        case _ if answer.is_server_error:
            return SourceUnavailable(f"The SuiteQL service is in trouble ({shown}).")
        case _:
            return SourceRefused(f"The SuiteQL service refused the call ({shown}): is the URL of the connection right?")


def _wait_seconds(tries: int, error: SourceUnavailable) -> float:
    """Return a growing wait with full jitter, so that callers that were refused together don't retry together."""
    grown = random.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_BASE_SECONDS * 2.0 ** min(tries, 16))  # noqa: S311
    asked = error.retry_after_seconds if isinstance(error, SourceBusy) else None
    return grown + (asked or 0.0)


def _error_code(content: bytes) -> str | None:
    try:
        code = raw_json(content)["o:errorDetails"][0]["o:errorCode"]
    except (ValueError, LookupError, TypeError):
        return None
    return code if isinstance(code, str) and code.isidentifier() and len(code) <= CODE_CHARACTERS else None


def _retry_after_seconds(answer: httpx2.Response) -> float | None:
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
