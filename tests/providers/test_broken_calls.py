"""What a call that got no answer means: whether it can have been sent decides if its end is ambiguous."""

import asyncio
import gc
import random
import socket
import time

import orjson
import pytest

from domain.outcome import Completed, End, Failed
from tests.providers.calls import call
from tests.support.provider_server import after, answer, body, drip, head, held, in_turn, raw, reset, truncated
from tests.support.waiting import eventually_async
from worker.providers.documents import RESPONSE_BYTES
from worker.providers.exchange import ANSWER_BYTES

NOT_SENT, AMBIGUOUS = End.NOT_SENT, End.AMBIGUOUS


def assert_retryable(outcome, code, end):
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.end) == (code, end)
    assert outcome.retryable
    assert not outcome.trips_breaker
    assert outcome.detail


async def test_a_refused_connection_sent_nothing(at):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert_retryable(await at(url).answer(call()), "connection_refused", NOT_SENT)


async def test_a_host_without_an_address_was_sent_nothing(at):
    assert_retryable(await at("http://nobody.invalid").answer(call()), "name_not_resolved", NOT_SENT)


async def test_a_connection_that_does_not_come_about_in_time_sent_nothing(at):
    # A listener whose queue is full lets the kernel drop what comes next, as a dead host would.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.settimeout(0)
            second.connect_ex(address)
            outcome = await at(f"http://127.0.0.1:{address[1]}").answer(call(timeout_seconds=0.3))
    assert_retryable(outcome, "connect_timeout", NOT_SENT)


async def test_a_connection_that_can_not_be_secured_sent_nothing(at):
    def speak_plainly(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert_retryable(await at(url).answer(call()), "tls_failed", NOT_SENT)


async def test_no_answer_in_time_is_ambiguous(provider, chat):
    provider.behave = held(answer())
    outcome = await chat.answer(call(timeout_seconds=0.3))
    assert_retryable(outcome, "timeout", AMBIGUOUS)
    assert "0.3 seconds" in outcome.detail
    assert len(provider.calls) == 1


async def test_the_providers_own_limit_holds_if_it_is_shorter(provider, at):
    provider.behave = held(answer())
    outcome = await at(provider.url, timeout_seconds=0.2).answer(call(timeout_seconds=20))
    assert_retryable(outcome, "timeout", AMBIGUOUS)
    assert "0.2 seconds" in outcome.detail


async def test_the_limit_is_of_all_of_a_call_not_of_each_byte(provider, chat):
    provider.behave = drip(b'{"choices": [', seconds=0.1)
    started = time.monotonic()
    assert_retryable(await chat.answer(call(timeout_seconds=0.5)), "timeout", AMBIGUOUS)
    assert time.monotonic() - started < 1.2


async def test_a_slow_answer_within_the_limit_is_taken(provider, chat):
    provider.behave = drip(b'{"choices": [{"message": {"content": "4"}}]}', seconds=0.005)
    assert (await chat.answer(call())).output == "4"


async def test_a_caller_that_gives_up_hangs_up(provider, chat):
    provider.behave = held(answer())
    await chat.answer(call(timeout_seconds=0.3))

    async def look():
        return provider.calls[0].is_abandoned and provider.in_flight == 0

    await eventually_async(look)


@pytest.mark.parametrize(
    "behaviour",
    [
        reset(),
        raw(b""),
        raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
        raw(b"\x16\x03\x01 garbage \xff\r\n\r\n"),
        raw(head(200, {"Content-Length": "many"})),
        truncated(),
        raw(head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n12"),
    ],
    ids=["reset", "closed", "half a head", "garbage", "bad length", "truncated", "half a chunk"],
)
async def test_a_connection_that_breaks_after_sending_is_ambiguous(provider, chat, behaviour):
    provider.behave = behaviour
    assert_retryable(await chat.answer(call()), "connection_reset", AMBIGUOUS)
    assert len(provider.calls) == 1  # nothing is repeated behind our back
    provider.behave = answer("4")
    assert (await chat.answer(call())).output == "4"


async def test_a_connection_that_was_closed_while_idle_harms_no_call(provider, chat):
    provider.behave = raw(head(200, {"Content-Length": "44"}) + b'{"choices": [{"message": {"content": "4"}}]}')
    for _ in range(5):
        assert (await chat.answer(call())).output == "4"

        async def closed():
            return provider.open_connections == 0

        await eventually_async(closed)


@pytest.mark.parametrize("is_announced", [True, False])
async def test_of_an_answer_beyond_the_bound_the_beginning_is_kept(provider, chat, is_announced):
    size = 10 * 2**20
    framing = {"Content-Length": str(size)} if is_announced else {"Connection": "close"}
    provider.behave = raw(head(200, framing) + b"x" * size)
    outcome = await chat.answer(call())
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("answer_too_large", False, End.ANSWERED)
    assert outcome.reply.response is not None
    found = orjson.loads(outcome.reply.response.json)
    assert (found["truncated"], found["text"]) == (True, "x" * RESPONSE_BYTES)


@pytest.mark.parametrize("text", [b"", b" \n"])
async def test_an_answer_with_nothing_in_it_is_asked_for_again(provider, chat, text):
    provider.behave = body(text)
    assert_retryable(await chat.answer(call()), "provider_error", End.ANSWERED)


async def test_an_answer_up_to_the_bound_is_taken(provider, chat):
    text = b'{"choices": [{"message": {"content": "%s"}}]}'
    provider.behave = body(text % (b"4" * (ANSWER_BYTES - len(text) + 2)))
    assert len((await chat.answer(call())).output) == ANSWER_BYTES - len(text) + 2


async def test_a_cancelled_call_is_cancelled_and_hangs_up(provider, chat):
    provider.behave = held(answer())
    task = asyncio.create_task(chat.answer(call()))

    async def arrived():
        return provider.in_flight == 1

    await eventually_async(arrived)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def gone():
        return provider.calls[0].is_abandoned

    await eventually_async(gone)


async def test_calls_cancelled_at_any_moment_leave_the_pool_whole(provider, chat, client):
    """More calls than connections, each cancelled somewhere between connecting and reading; then as many go through."""
    provider.behave = after(0.005, answer())
    dice = random.Random(3)
    for _ in range(4):
        tasks = [asyncio.create_task(chat.answer(call())) for _ in range(150)]
        loop = asyncio.get_running_loop()
        for task in tasks:
            loop.call_later(dice.uniform(0, 0.15), task.cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, Completed | asyncio.CancelledError) for outcome in ended)
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in ended)
    outcomes = await asyncio.gather(*(chat.answer(call()) for _ in range(150)))
    assert all(isinstance(outcome, Completed) for outcome in outcomes)
    assert provider.peak <= 100


async def test_any_error_in_a_call_becomes_its_outcome(provider, chat):
    outcome = await chat.answer(call(parameters={"seed": object()}))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.end) == ("call_failed", False, NOT_SENT)
    assert "TypeError" in outcome.detail
    assert provider.calls == []


async def test_nothing_is_left_open_after_closing(provider, at):
    http_provider = at(provider.url)
    provider.behave = in_turn(answer(), reset(), truncated(), raw(head(200, {"Content-Length": "9"})))
    for _ in range(4):
        await http_provider.answer(call())
    await http_provider.aclose()
    await http_provider.aclose()

    async def closed():
        return provider.open_connections == 0

    await eventually_async(closed)
    gc.collect()  # an unclosed transport would warn, and warnings are errors
