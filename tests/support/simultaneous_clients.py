"""Many clients at once: processes that open their connections, wait for each other, and then all send."""

import http.client
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any
from urllib.parse import urlsplit

import orjson

WAIT_SECONDS = 30

_start: Barrier


@dataclass(frozen=True)
class Reply:
    """An answer as it crosses to the test's process."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class SimultaneousClients:
    """Processes that post together."""

    pool: ProcessPoolExecutor
    processes: int

    def post(
        self, urls: Sequence[str], bodies: Sequence[object], *, key: str | None = None, path: str = "/jobs"
    ) -> list[Reply]:
        """Post each body at the same time, from all processes, to each API alternately; the answers in no order."""
        requests = [(urls[n % len(urls)], orjson.dumps(body)) for n, body in enumerate(bodies)]
        shares = [requests[n :: self.processes] for n in range(self.processes)]
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        posted = [self.pool.submit(_post_at_once, share, headers, path) for share in shares]
        return [reply for future in posted for reply in future.result(WAIT_SECONDS)]


@contextmanager
def simultaneous_clients(processes: int) -> Iterator[SimultaneousClients]:
    """Run so many processes of clients."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, initializer=_wait_at, initargs=(barrier,)) as pool:
        yield SimultaneousClients(pool, processes)


def _wait_at(barrier: Barrier) -> None:
    global _start  # noqa: PLW0603 - a barrier reaches a process at its start only
    _start = barrier


def _post_at_once(requests: Sequence[tuple[str, bytes]], headers: Mapping[str, str], path: str) -> list[Reply]:
    connections = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_SECONDS) for url, _ in requests]
    for connection in connections:
        connection.connect()
    _start.wait(WAIT_SECONDS)
    for connection, (_, body) in zip(connections, requests, strict=True):
        connection.request("POST", path, body, dict(headers))
    return [_read(connection) for connection in connections]


def _read(connection: http.client.HTTPConnection) -> Reply:
    answer = connection.getresponse()
    reply = Reply(
        answer.status, {name.lower(): value for name, value in answer.getheaders()}, orjson.loads(answer.read())
    )
    connection.close()
    return reply
