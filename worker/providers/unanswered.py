"""Failures of calls without an answer: the end is ambiguous if the call may have been sent."""

import socket
import ssl
from collections.abc import Iterator

import httpx2

from domain.outcome import End, Failed


def interrupted(error: TimeoutError | httpx2.HTTPError, *, is_sent: bool, limit_seconds: float) -> Failed:
    """Return the failure of a call without a complete answer."""
    is_late = isinstance(error, TimeoutError | httpx2.TimeoutException)
    if not is_sent:
        code, detail = _not_sent(error, is_late=is_late)
        return Failed(code, detail, retryable=True, end=End.NOT_SENT)
    if is_late:
        detail = f"There was no answer in full within {limit_seconds:g} seconds."
        return Failed("timeout", detail, retryable=True, end=End.AMBIGUOUS)
    detail = f"The connection broke before there was an answer in full: {error or type(error).__name__}"
    return Failed("connection_reset", detail, retryable=True, end=End.AMBIGUOUS)


def cut_off(error: ValueError) -> Failed:
    """Return the failure of a cut answer: the provider may have done the work."""
    detail = f"The connection ended before there was an answer in full: {error}"
    return Failed("connection_reset", detail, retryable=True, end=End.AMBIGUOUS)


def unexpected_error(error: Exception, *, is_sent: bool) -> Failed:
    """Return the failure of a call with an unforeseen error in this worker."""
    detail = f"This worker failed in the call ({type(error).__name__}); its log says more."
    return Failed("call_failed", detail, retryable=False, end=End.AMBIGUOUS if is_sent else End.NOT_SENT)


def _not_sent(error: Exception, *, is_late: bool) -> tuple[str, str]:
    """Return (code, detail) of a connection that couldn't be opened."""
    if isinstance(error, httpx2.PoolTimeout):
        return "pool_timeout", "No connection of this worker was free in time."
    if is_late:
        return "connect_timeout", "There was no connection in time."
    causes = tuple(_causes(error))
    for kind, code, detail in (
        (ConnectionRefusedError, "connection_refused", "The connection was refused: nothing listens there."),
        (socket.gaierror, "name_not_resolved", "The name of the host has no address"),
        (ssl.SSLError, "tls_failed", "There was no secure connection"),
    ):
        for cause in causes:
            if isinstance(cause, kind):
                return code, detail if detail.endswith(".") else f"{detail}: {cause}"
    return "connection_failed", f"There was no connection: {error}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes; several addresses of a host fail as a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
