"""Requests to stop a run: receiving and awaiting signals."""

import contextlib
import select
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import structlog

log = structlog.get_logger()

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_REQUEST_SECONDS = 1
"""A request may come twice: directly, and through make or a shell that passes the signal on to its group."""


class StopRequests:
    """Whether a stop was requested (`is_asked`), and whether it was requested twice (`is_hurried`)."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self.is_hurried = False
        self._wakeup: socket.socket | None = None

    @property
    def is_asked(self) -> bool:
        """Say whether the run is to end."""
        return self._asked_at is not None

    @contextlib.contextmanager
    def received(self) -> Iterator[None]:
        """Receive signals, including SIGCHLD, as bytes that wake `sleep`."""
        receiver, sender = socket.socketpair()
        receiver.settimeout(0)
        sender.settimeout(0)
        with receiver, sender:
            before = {number: signal.signal(number, self._note) for number in (*STOP_SIGNALS, signal.SIGCHLD)}
            signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
            self._wakeup = receiver
            try:
                yield
            finally:
                self._wakeup = None
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def sleep(self, seconds: float | None) -> None:
        """Sleep until a signal comes, at most `seconds`; None: without a limit."""
        if self._wakeup is None:
            raise RuntimeError("Signals aren't received.")
        readable, _, _ = select.select([self._wakeup], [], [], None if seconds is None else max(seconds, 0))
        if readable:
            with contextlib.suppress(BlockingIOError):
                self._wakeup.recv(4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number not in STOP_SIGNALS:
            return
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            log.info("service_stopping", signal=signal.Signals(number).name)
        elif now - self._asked_at > SAME_REQUEST_SECONDS:
            self.is_hurried = True
