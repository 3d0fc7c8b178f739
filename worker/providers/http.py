"""HTTP providers of any dialect: each call is sent once, within its time limit, and its end is classified."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Protocol, overload

import httpx2
import orjson
import structlog
from pydantic import SecretStr

from domain.outcome import Completed, Failed, Outcome, Reply
from domain.redaction import hide_secrets, is_secret_parameter
from worker.providers.answers import Answer, ErrorReport, bad_answer, label, read_error
from worker.providers.documents import Document, EndedEarly, kept_beginning_of, kept_response, parse
from worker.providers.exchange import ANSWER_BYTES, Exchange
from worker.providers.keys import Keys
from worker.providers.protocol import Call
from worker.providers.refusals import failure_of, failure_within
from worker.providers.streams import is_stream, read_stream
from worker.providers.unanswered import cut_off, interrupted, unexpected_error

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 3.0
"""Below the 5 s after which common servers close an idle connection: a call that meets the close ends ambiguously."""
DETAIL_CHARACTERS = 1_000

log = structlog.get_logger()


class Dialect(Protocol):
    """The dialect of a type of provider: a module with these three members."""

    PATH: str

    def body_of(self, call: Call) -> dict[str, Any]:
        """Return the body for a call."""
        ...

    def outcome_of(self, document: Any, answer: Answer) -> Outcome:
        """Return the outcome for the JSON of a 2xx answer."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """The addresses of a provider by canonical region, and its credentials.

    `timeout_seconds` bounds a whole call, in addition to the call's own limit. `canonical` returns the region's
    canonical name for any spelling, None for an unknown one. `other_secrets` are those of all that this worker serves.
    """

    base_urls: Mapping[str, httpx2.URL]
    timeout_seconds: float
    api_key: SecretStr | None
    canonical: Callable[[str], str | None]
    other_secrets: Sequence[SecretStr] = ()


def open_client(connections: int) -> httpx2.AsyncClient:
    """Return the client that all providers of a worker share; it keeps no cookies and ignores the environment."""
    return httpx2.AsyncClient(
        headers={"User-Agent": f"breakwater/{version('breakwater')}", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        limits=httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_SECONDS
        ),
        trust_env=False,
    )


class HttpProvider:
    """A configured provider: its name, dialect and addresses."""

    makes_calls = True

    def __init__(self, name: str, dialect: Dialect, address: Address, client: httpx2.AsyncClient) -> None:
        self.name = name
        self._dialect = dialect
        self._address = address
        self._client = client
        self._secret = address.api_key.get_secret_value() if address.api_key is not None else None
        self._keys = Keys.of(self._secret, _further_secrets(address))
        self._url_by_region = {
            region: base.copy_with(path=base.path.rstrip("/") + dialect.PATH)
            for region, base in address.base_urls.items()
        }

    async def answer(self, call: Call) -> Outcome:
        """Call once; return the outcome. Raises only on cancellation."""
        exchange = Exchange()
        try:
            outcome = await self._ask(call, exchange)
            return self._shown(self._placed(outcome, exchange, call))
        except Exception as error:
            # Catch-all: an error of a call must not end other tasks of the worker.
            log.exception("provider_call_failed", provider=self.name, region=call.region)
            return unexpected_error(error, is_sent=exchange.is_sent)

    async def aclose(self) -> None:
        """Close the worker's client, for all providers that share it; safe to repeat."""
        await self._client.aclose()

    async def _ask(self, call: Call, exchange: Exchange) -> Outcome:
        limit_seconds = min(call.timeout_seconds, self._address.timeout_seconds)
        try:
            async with asyncio.timeout(limit_seconds):
                await self._post(call, exchange, limit_seconds)
        except (TimeoutError, httpx2.HTTPError) as error:
            if not exchange.is_refused:
                return interrupted(error, is_sent=exchange.is_sent, limit_seconds=limit_seconds)
        return self._read(exchange)

    async def _post(self, call: Call, exchange: Exchange, limit_seconds: float) -> None:
        connect_seconds = min(CONNECT_SECONDS, limit_seconds)
        async with self._client.stream(
            "POST",
            self._url_by_region[call.region],
            content=orjson.dumps(self._dialect.body_of(call)),
            headers=self._headers(call),
            timeout=httpx2.Timeout(limit_seconds, connect=connect_seconds, pool=connect_seconds),
            extensions={"trace": exchange.trace},
        ) as response:
            exchange.status, exchange.headers = response.status_code, response.headers
            await exchange.receive(response.aiter_raw())

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": call.idempotency_key,
            "traceparent": call.new_traceparent(),
        }
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {self._secret}"
        return headers

    def _read(self, exchange: Exchange) -> Outcome:
        answer = exchange.answer
        if not answer.is_success:
            # Before it is read: names in it are cut, and half a key would no longer be found.
            body = self._keys.hide(answer.body.decode("utf-8", "surrogateescape"))
            return failure_of(replace(answer, body=body.encode("utf-8", "surrogateescape")))
        if exchange.is_too_large:
            detail = f"The answer has more than {ANSWER_BYTES} bytes; `response` keeps its beginning."
            reply = Reply(response=kept_beginning_of(answer.body, self._keys))
            return Failed("answer_too_large", detail, retryable=False, reply=reply)
        if exchange.is_encoded:
            return bad_answer("The answer is packed (Content-Encoding), which wasn't asked for.")
        return self._understood(exchange, answer)

    def _understood(self, exchange: Exchange, answer: Answer) -> Outcome:
        """Return the outcome of an answer's JSON, with the JSON to keep."""
        try:
            document = read_stream(answer.body) if is_stream(answer.body) else _whole(parse(answer.body))
        except ValueError as error:
            if isinstance(error, EndedEarly) and not exchange.is_length_known:
                return cut_off(error)
            if not answer.body.strip():
                return failure_within(answer, ErrorReport((), ""), said="without a body")
            return bad_answer(f"The answer isn't JSON: {read_error(answer).text}")
        whole = document.whole
        if is_stream(answer.body) and self._keys.are_split_over(whole):
            whole = document.value  # the events would give the key away piece by piece
        value = self._keys.hide_in(document.value)
        outcome = self._dialect.outcome_of(value, answer)
        response = kept_response(value if whole is document.value else whole, answer.body, self._keys)
        return replace(outcome, reply=replace(outcome.reply, response=response))

    def _placed(self, outcome: Outcome, exchange: Exchange, call: Call) -> Outcome:
        """Return the outcome with the serving region; an answer from another region is a failure."""
        reported = label(self._keys.hide(exchange.headers.get("x-region", ""))) or outcome.region_served
        if reported is None:
            return outcome
        served = self._address.canonical(reported) or reported
        if isinstance(outcome, Completed) and served != call.region:
            detail = f"It was asked in {call.region} and says that {reported} served."
            used, reply = outcome.provider_used, outcome.reply
            outcome = Failed("region_mismatch", detail, retryable=False, provider_used=used, reply=reply)
        return replace(outcome, region_served=served)

    def _shown(self, outcome: Outcome) -> Outcome:
        """Return the outcome without keys, which a provider may repeat, and with a shortened detail."""
        provider_used, region_served = self._redacted(outcome.provider_used), self._redacted(outcome.region_served)
        outcome = replace(outcome, provider_used=provider_used, region_served=region_served)
        reply = replace(
            outcome.reply,
            finish_reason=self._redacted(outcome.reply.finish_reason),
            model_used=self._redacted(outcome.reply.model_used),
        )
        if isinstance(outcome, Completed):
            return replace(outcome, output=self._redacted(outcome.output), reply=reply)
        detail = hide_secrets(self._redacted(outcome.detail))[:DETAIL_CHARACTERS]
        return replace(outcome, detail=detail, reply=reply)

    @overload
    def _redacted(self, text: str) -> str: ...

    @overload
    def _redacted(self, text: None) -> None: ...

    @overload
    def _redacted(self, text: str | None) -> str | None: ...

    def _redacted(self, text: str | None) -> str | None:
        return self._keys.hide(text) if text else text


def _further_secrets(address: Address) -> list[str]:
    """Return the secrets in a provider's URLs, and those of everything else that its worker serves."""
    parameters = [each for base in address.base_urls.values() for each in base.params.multi_items()]
    return [
        *(value for name, value in parameters if is_secret_parameter(name)),
        *(secret.get_secret_value() for secret in address.other_secrets),
    ]


def _whole(value: Any) -> Document:
    return Document(value, value)
