"""A provider over real HTTP that behaves as a test says and logs each call from outside the system under test.

It speaks raw HTTP/1.1 in a thread with an event loop of its own, so that it answers while a test blocks. It serves the
dialects of both provider types: `/inference` is a hybrid router's, everything else OpenAI's. What it does with a call
is a `Behaviour`, chosen by `server.behave`, which a test may set at any time:

    with provider_server() as server:
        server.behave = in_turn(refuse(429, headers={"Retry-After": "2"}), answer("4"))
        ...
        assert server.peak <= 10
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import responses
from typing import Any, TypeAlias

import pytest

from tests.support.waiting import eventually_async

HEAD_BYTES = 64 * 2**10
ONCE_SECONDS = 30


class ClientGone(Exception):
    """The caller hung up before it was answered."""


@dataclass
class LoggedCall:
    """One call as the server saw it; times are of the monotonic clock. `status` 0: it was given no answer in full."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    started_at: float
    ended_at: float | None = None
    status: int = 0
    is_abandoned: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def model(self) -> str:
        return self.json["model"]

    @property
    def question(self) -> str:
        return self.json["prompt"] if self.is_router else self.json["messages"][-1]["content"]

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    @property
    def region(self) -> str:
        """The region of the URL that was called, as `config` writes it."""
        return self.path.split("/")[1]

    @property
    def is_router(self) -> bool:
        return self.path.endswith("/inference")


@dataclass
class Exchange:
    """A call being served: what a behaviour works with."""

    call: LoggedCall
    server: "ProviderServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer in full."""
        await self.write(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)
        self.call.status = status

    async def write(self, data: bytes) -> None:
        """Write raw bytes; stops where the caller is gone."""
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            raise ClientGone from None

    async def wait(self, until: Awaitable[Any]) -> None:
        """Wait, unless the caller hangs up first."""
        waiting = asyncio.ensure_future(until)
        gone = asyncio.ensure_future(self.reader.read(1))
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGone
        finally:
            for item in (waiting, gone):
                item.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await item

    def reset(self) -> None:
        """Break the connection off at once."""
        self.writer.transport.abort()


Behaviour: TypeAlias = Callable[[Exchange], Awaitable[None]]


class ProviderServer:
    """The server: its `url`, its log of calls, and how many it had at once at most."""

    def __init__(self) -> None:
        self.behave: Behaviour = answer()
        self.calls: list[LoggedCall] = []
        self.peak = 0
        self.url = ""
        self._current = 0
        self._released = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()

    def keys(self, question: str | None = None) -> list[str | None]:
        """The Idempotency-Keys in the order of the calls, of one question if it is given."""
        return [call.key for call in list(self.calls) if question in (None, call.question)]

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each (model, question) was asked."""
        return Counter((call.model, call.question) for call in list(self.calls))

    @property
    def in_flight(self) -> int:
        """Calls that are being served now."""
        return self._current

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def release(self) -> None:
        """Let those calls go on that `held` holds, and all later ones."""
        self._loop.call_soon_threadsafe(self._released.set)

    def hold(self) -> None:
        """Hold the calls from now on until the next release."""
        self._released = asyncio.Event()

    @property
    def is_released(self) -> bool:
        return self._released.is_set()

    async def released(self) -> None:
        """Wait until the test releases what is held."""
        await self._released.wait()

    def config(
        self, *, kind: str = "openai", name: str = "hybrid", regions: tuple[str, ...] = ("us-east",), **settings: object
    ) -> str:
        """Return the TOML of a provider at this server; settings are named as in the file."""
        lines = [f"[providers.{name}]", f'type = "{kind}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += [f"[providers.{name}.base_urls]", *(f'{region} = "{self.url}/{region}/v1"' for region in regions)]
        return "\n".join(lines) + "\n"

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0, limit=HEAD_BYTES))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._connections:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._connections, return_exceptions=True))
        self._loop.run_until_complete(server.wait_closed())
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.CancelledError, ValueError):
            pass  # what comes over a connection that no HTTP is spoken on is nobody's call
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()  # before that, the caller may still find the connection open
            self._connections.discard(task)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one call; return whether the connection goes on."""
        call = await self._read_call(reader)
        if call is None:
            return False
        self.calls.append(call)
        self._current += 1
        self.peak = max(self.peak, self._current)
        try:
            await self.behave(Exchange(call, self, reader, writer))
        except ClientGone:
            call.is_abandoned = True
        finally:
            self._current -= 1
            call.ended_at = time.monotonic()
        return call.status != 0 and not writer.transport.is_closing()

    async def _read_call(self, reader: asyncio.StreamReader) -> LoggedCall | None:
        try:
            text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = text.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return LoggedCall(len(self.calls) + 1, method, path, headers, body, started_at=time.monotonic())


# Behaviours


def answer(
    text: str | None = None, *, region: str | None = None, headers: Mapping[str, str] | None = None, **members: Any
) -> Behaviour:
    """Answer in the call's dialect: this text, else one that names the call. `members` join the JSON's own."""

    async def behave(exchange: Exchange) -> None:
        call = exchange.call
        said = f"{call.model}: {call.question}" if text is None else text
        document = (_router_answer if call.is_router else _openai_answer)(said)
        if call.is_router and region:
            document["metadata"] = {"region": region}
        sent = {"X-Region": region, **(headers or {})} if region and not call.is_router else headers
        await exchange.send(200, json.dumps({**document, **members}).encode(), sent)

    return behave


def refuse(
    status: int, code: str | None = None, text: str = "No.", *, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Answer with an error in the call's dialect."""

    async def behave(exchange: Exchange) -> None:
        error: dict[str, Any] = {"error": {"message": text, "code": code, "type": code}}
        if exchange.call.is_router:
            error = {"success": False, "error": text, "error_code": code}
        await exchange.send(status, json.dumps(error).encode(), headers)

    return behave


def raw(data: bytes) -> Behaviour:
    """Write these bytes instead of an answer and close."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(data)

    return behave


def body(data: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with this body."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(status, data, headers)

    return behave


def truncated(*, status: int = 200) -> Behaviour:
    """Answer with less than was announced, then close."""
    return raw(head(status, {"Content-Length": "1000"}) + b'{"choices": [')


def reset() -> Behaviour:
    """Break the connection off after the request was read."""

    async def behave(exchange: Exchange) -> None:
        exchange.reset()

    return behave


def drip(data: bytes, *, seconds: float, status: int = 200) -> Behaviour:
    """Answer one byte at a time, with so long between them."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(head(status, {"Content-Length": str(len(data))}))
        for byte in data:
            await exchange.write(bytes([byte]))
            await exchange.wait(asyncio.sleep(seconds))
        exchange.call.status = status

    return behave


def after(seconds: float, then: Behaviour) -> Behaviour:
    """Take so long before doing something."""

    async def behave(exchange: Exchange) -> None:
        await exchange.wait(asyncio.sleep(seconds))
        await then(exchange)

    return behave


def held(then: Behaviour) -> Behaviour:
    """Do nothing until the test releases it."""

    async def behave(exchange: Exchange) -> None:
        await exchange.wait(exchange.server.released())
        await then(exchange)

    return behave


def once(is_so: Callable[[], bool], then: Behaviour) -> Behaviour:
    """Do nothing until this is so."""

    async def look() -> bool:
        return is_so()

    async def behave(exchange: Exchange) -> None:
        await exchange.wait(eventually_async(look, seconds=ONCE_SECONDS))
        await then(exchange)

    return behave


def until_released(before: Behaviour, then: Behaviour) -> Behaviour:
    """Behave in one way until the test says `release`, then in another: a billing limit that is lifted."""

    async def behave(exchange: Exchange) -> None:
        await (then if exchange.server.is_released else before)(exchange)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Give the n-th call of each (model, question) the n-th behaviour, and all later ones the last."""
    seen: Counter[tuple[str, str]] = Counter()

    async def behave(exchange: Exchange) -> None:
        cell = (exchange.call.model, exchange.call.question)
        seen[cell] += 1
        await behaviours[min(seen[cell], len(behaviours)) - 1](exchange)

    return behave


def by_model(behaviours: Mapping[str, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """Choose by the model that is asked for."""
    return _chosen(lambda call: behaviours.get(call.model), otherwise)


def by_question(behaviours: Mapping[str, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """Choose by the question that is asked."""
    return _chosen(lambda call: behaviours.get(call.question), otherwise)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the head of an answer."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unassigned')}"]
    lines += [f"{name}: {value}" for name, value in {"Content-Type": "application/json", **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chosen(choose: Callable[[LoggedCall], Behaviour | None], otherwise: Behaviour | None) -> Behaviour:
    fallback = otherwise or answer()

    async def behave(exchange: Exchange) -> None:
        await (choose(exchange.call) or fallback)(exchange)

    return behave


def _openai_answer(text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    }


def _router_answer(text: str) -> dict[str, Any]:
    return {
        "success": True,
        "response": text,
        "error": None,
        "error_code": None,
        "provider_used": "gpu-1",
        "inference_time": 0.25,
        "cost_estimate": 0.0003,
        "metadata": {},
    }


# Running it


@contextmanager
def provider_server() -> Iterator[ProviderServer]:
    """A server at a free port of the loopback, in a thread; ended at the end."""
    server = ProviderServer()
    ready = threading.Event()
    thread = threading.Thread(target=server._run, args=(ready,), name="provider")
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        server._loop.call_soon_threadsafe(server._loop.stop)
        thread.join()


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    """A provider of this test alone."""
    with provider_server() as server:
        yield server
