"""A load generator of bounded count: `python -m bench.client PORT PATH COUNT CONNECTIONS unique|same` prints JSON."""

import asyncio
import sys
import time

import orjson
import uvloop

from bench.jobs import SHAPES, body_of


async def run(port: int, path: str, count: int, connections: int, *, unique: bool) -> dict[str, object]:
    """Send `count` POSTs over kept-alive connections; return requests per second, latencies and statuses."""
    seed = time.time_ns()
    requests = [_request(port, path, seed + index if unique else 0) for index in range(count)]
    latencies: list[float] = []
    statuses: dict[str, int] = {}
    iterator = iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_lane(port, iterator, latencies, statuses) for _ in range(connections)))
    seconds = time.perf_counter() - started
    latencies.sort()
    return {
        "rate": count / seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "statuses": statuses,
    }


def _request(port: int, path: str, number: int) -> bytes:
    body = orjson.dumps(body_of(SHAPES["240-cell"], number))
    fields = (f"Host: 127.0.0.1:{port}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((f"POST {path} HTTP/1.1", *fields, "", "")).encode() + body


async def _lane(port: int, requests: object, latencies: list[float], statuses: dict[str, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:  # type: ignore[attr-defined]
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        status = head[9:12].decode()
        statuses[status] = statuses.get(status, 0) + 1
    writer.close()


if __name__ == "__main__":
    arguments = sys.argv
    found = uvloop.run(
        run(int(arguments[1]), arguments[2], int(arguments[3]), int(arguments[4]), unique=arguments[5] == "unique")
    )
    print(orjson.dumps(found).decode())
