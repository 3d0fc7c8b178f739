"""A connection of uvicorn's that ends when its client is too slow, reads nothing, or is one too many.

uvicorn bounds only the time between requests. Each connection looks at its own client every few seconds, so a request
costs no timer.
"""

import asyncio
from collections import Counter
from typing import Any, ClassVar

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.callers import Caller
from api.client_limits import ClientLimits
from api.refusals import FULL, TOO_SLOW, Refusal, rendered
from api.room import make_room
from api.unsent import Unsent, UnsentAnswers, bytes_left, caller_on

LINGER_SECONDS = 2.0
"""How long a refused client may go on sending before the connection is closed: a reset could lose its answer."""

refused: Counter[str] = Counter()
"""Connections that this process refused or cut off and hasn't reported yet, by reason; its heartbeat reports them."""

log = structlog.stdlib.get_logger()


class BoundedConnection(HttpToolsProtocol):
    """Bounds what a client may use.

    `deadline`, of the event loop's clock, is when what the client has to send must be here; None if that is nothing.
    `in_work` is the request that is served, or was last: those behind it in the pipeline haven't begun. `part_bytes` is
    the size of the newest part of an answer in parts; None for any other answer.
    """

    limits: ClassVar[ClientLimits] = ClientLimits()
    _unsent_answers: ClassVar[UnsentAnswers] = UnsentAnswers()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadline: float | None = None
        self.is_in_head = False
        self.is_refused = False
        self.in_work: RequestResponseCycle | None = None
        self.last_caller: Caller | None = None
        self.part_bytes: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: Unsent | None = None
        self.waiting_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is room, or if others give way (`api.room`)."""
        super().connection_made(transport)
        self.expect()
        self._timer = self.loop.call_later(self.limits.look_seconds, self._look)
        if len(self.connections) > self.limits.connections and not make_room(self):
            self.refuse(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        self._unsent_answers.discard(self)
        if self.in_work is not None and not self.in_work.response_complete:
            self.in_work.disconnected = True  # uvicorn tells the newest request only, which may wait behind it
            self.in_work.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client has much to read."""
        super().pause_writing()
        now = self.loop.time()
        self._unsent = Unsent(self.transport, now, self.part_bytes)
        self._unsent_answers.add(self, self._unsent, now, most_bytes=self.limits.unsent_bytes)

    def resume_writing(self) -> None:
        """Note that the client took nearly all."""
        super().resume_writing()
        self._unsent = None
        self._unsent_answers.discard(self)

    def on_response_complete(self) -> None:
        """Wait for the next request; there is none after those that came before a refusal."""
        self.last_caller = caller_on(self) or self.last_caller
        self.waiting_since = self.loop.time()
        self._unsent = None
        if not self.is_refused or self.pipeline:
            super().on_response_complete()
        elif not self.transport.is_closing():
            self._end()

    @property
    def is_answering(self) -> bool:
        """Whether the newest request has a client that awaits the answer, or the rest of it."""
        return self.cycle is not None and not (self.cycle.response_complete or self.cycle.disconnected)

    def expect(self) -> None:
        """Expect the client to send what it has to send."""
        self.deadline = self.loop.time() + self.limits.receive_seconds

    def refuse(self, refusal: Refusal) -> None:
        """Answer that the request is refused, and close; an earlier request's answer comes first, and is the last.

        What the client still sends isn't read.
        """
        self.is_refused = True
        self.deadline = None
        _note_refused(refusal.code)
        cycle = self.cycle
        if not self.is_answering:
            self._answer(refusal)
        elif cycle.more_body and (cycle.response_started or self.pipeline):
            self.transport.close()
        elif cycle.more_body:
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
            self._answer(refusal)

    def end_after_answers(self) -> None:
        """Read nothing more, and close once what came before is answered."""
        self.is_refused = True
        self.deadline = None

    def cut_off(self, reason: str) -> None:
        """Close at once, whatever is unsent."""
        _note_cut_off(reason)
        self._drop()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.in_work = cycle
        super()._start_asgi_task(cycle, app)

    def _look(self) -> None:
        """Look at the client: what it has to take, then what it has to send."""
        now = self.loop.time()
        self._timer = self.loop.call_later(self.limits.look_seconds, self._look)
        if self._is_slow_reader(now):
            self.cut_off("slow_reader")
        elif self.deadline is not None and now >= self.deadline:
            self._expire()

    def _is_slow_reader(self, now: float) -> bool:
        """Return whether the client takes too little of an answer. Bytes on their way to it don't count meanwhile."""
        left = self.transport.get_write_buffer_size() if self.is_answering else bytes_left(self.transport)
        if not left:
            self._unsent = None
        elif self._unsent is None:
            self._unsent = Unsent(self.transport, now)
        return self._unsent is not None and self._unsent.is_late(now, self.limits.send_seconds)

    def _expire(self) -> None:
        cycle = self.cycle
        is_asked = self.is_answering and cycle.more_body and not cycle.response_started
        if self.is_refused and bytes_left(self.transport):
            self.deadline = self.loop.time() + LINGER_SECONDS
        elif self.is_refused:
            self._drop()
        elif self.flow.read_paused or (self.is_answering and (not is_asked or cycle.waiting_for_100_continue)):
            self.expect()  # it isn't the client who is awaited
        elif is_asked or self.is_in_head:
            self.refuse(TOO_SLOW)
        else:
            _note_silent(was_served=cycle is not None)
            self._drop()

    def _answer(self, refusal: Refusal) -> None:
        if not self.transport.is_closing():
            self.transport.write(rendered(refusal, self.server_state.default_headers))
            self._end()

    def _end(self) -> None:
        self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER_SECONDS

    def _drop(self) -> None:
        self.connections.discard(self)
        self.transport.abort()


def _note_refused(code: str) -> None:
    refused[code] += 1
    log.info("request_refused", code=code)


def _note_cut_off(reason: str) -> None:
    refused[reason] += 1
    log.info("connection_cut_off", reason=reason)


def _note_silent(*, was_served: bool) -> None:
    refused["silent"] += not was_served  # one that was served before is merely idle
    log.debug("silent_connection_closed")
