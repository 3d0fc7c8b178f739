"""A running service: requests to it, tried again for a while, and what its answers mean for the command."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import httpx2
import orjson

from cli.remote.address import Address
from cli.remote.errors import NotReached, Refused, Unavailable
from cli.remote.problems import describe
from runtime.retrying import retry_within

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
QUIET_SECONDS = 45.0
"""After so long without a byte a stream of events is lost: the service sends something every 15 s."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 5.0
LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_BUSY_STATUSES = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_BEING_PROCESSED = {"idempotency_key_in_flight", "submission_in_flight"}
Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer that isn't a refusal, and its headers."""

    status: int
    content: Any
    headers: Mapping[str, str]


class Service:
    """Asks a service. A request that isn't answered, or is put off, is sent again for `retry_seconds`."""

    def __init__(self, address: Address, *, retry_seconds: float) -> None:
        self.address = address
        self._retry_seconds = retry_seconds
        headers = {"User-Agent": "breakwater-command", "Accept": "application/json"}
        if address.key is not None:
            headers["Authorization"] = f"Bearer {address.key}"
        self._client = httpx2.AsyncClient(
            base_url=address.url,
            headers=headers,
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # Proxies of the environment are for other machines, and authorities are read only where TLS is spoken.
            mounts={f"all://{host}": None for host in LOOPBACK},
            verify=address.is_encrypted,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, parameters: Parameters = ()) -> Any:
        """Return the content of the answer. Raises Refused or NotReached."""
        return (await self._send_patiently("GET", path, parameters)).content

    async def ask(self, path: str) -> Answer:
        """Return the answer with its headers. Raises Refused or NotReached."""
        return await self._send_patiently("GET", path, ())

    async def post(
        self, path: str, *, body: bytes | None = None, parameters: Parameters = (), key: str | None = None
    ) -> Answer:
        """Return the answer to a POST, which takes effect once under its `key`. Raises Refused or NotReached."""
        headers = {"Idempotency-Key": f'"{key}"'} if key is not None else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._send_patiently("POST", path, parameters, body, headers)

    async def items(self, path: str, parameters: Parameters, *, limit: int) -> list[Any]:
        """Return the items of a list, page by page, up to one more than `limit`. Raises Refused or NotReached."""
        found: list[Any] = []
        cursor: list[tuple[str, str]] = []
        while True:
            size = str(max(1, min(200, limit + 1 - len(found))))
            page = await self.get(path, [*parameters, ("limit", size), *cursor])
            found += page["items"]
            if page["next_cursor"] is None or len(found) > limit:
                return found
            cursor = [("cursor", page["next_cursor"])]

    @asynccontextmanager
    async def events(self, job_id: str, *, after: str | None) -> AsyncIterator[httpx2.EventSource | None]:
        """Open the stream of a job's events; None where it is over. Raises Refused or NotReached, without a retry."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if after is not None:
            headers["Last-Event-ID"] = after
        timeout = httpx2.Timeout(QUIET_SECONDS, connect=CONNECT_SECONDS)
        try:
            async with self._client.stream("GET", job_path(job_id, "events"), headers=headers, timeout=timeout) as got:
                if got.status_code == HTTPStatus.NO_CONTENT:
                    yield None
                    return
                if got.status_code != HTTPStatus.OK:
                    await got.aread()
                    self._read(got)
                yield httpx2.EventSource(got)
        except httpx2.TransportError as error:
            raise self._lost(error) from None

    async def _send_patiently(
        self,
        method: str,
        path: str,
        parameters: Parameters,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async def send() -> Answer:
            try:
                answer = await self._client.request(
                    method, path, params=list(parameters), content=body, headers=dict(headers or {})
                )
            except httpx2.TransportError as error:
                raise self._lost(error) from None
            return self._read(answer)

        return await retry_within(send, on=(Unavailable,), seconds=self._retry_seconds, wait_seconds=self._wait_seconds)

    def _wait_seconds(self, tries: int, error: Unavailable) -> float:
        if tries == 0 and self._retry_seconds > 0:
            sys.stderr.write(f"{error}\nTrying again for up to {self._retry_seconds:g} s …\n")
        backoff: float = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**tries)
        return max(backoff, error.retry_after_seconds or 0)

    def _lost(self, error: httpx2.TransportError) -> Unavailable:
        reason = str(error).strip() or type(error).__name__
        return Unavailable(f"{self.address.url} doesn't answer ({reason}).")

    def _read(self, answer: httpx2.Response) -> Answer:
        """Return the answer, if it is the service's and isn't a refusal; else raise what it means."""
        if answer.is_redirect:
            target = answer.headers.get("Location", "somewhere else")
            raise NotReached(f"{self.address.url} sends requests on to {target}: name that service by --url.")
        try:
            content = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            content = None
        if answer.is_success and content is not None:
            return Answer(answer.status_code, content, answer.headers)
        problem = content if isinstance(content, dict) and "code" in content else None
        if answer.status_code in _BUSY_STATUSES or (problem and problem["code"] in _BEING_PROCESSED):
            message = describe(problem) if problem else f"{self.address.url} answers {answer.status_code}."
            raise Unavailable(message, problem=problem, retry_after_seconds=_retry_after(answer))
        if problem is None:
            raise NotReached(
                f"What answers at {self.address.url} is no Breakwater ({answer.status_code}): look at --url."
            )
        if answer.is_server_error:
            raise NotReached(describe(problem), problem=problem)
        raise Refused(describe(problem), status=answer.status_code, problem=problem)


def job_path(job_id: str, *parts: str) -> str:
    """Return the path of a job, or of something below it."""
    return "/".join(["/jobs", quote(job_id, safe=""), *parts])


def _retry_after(answer: httpx2.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
