"""A client that sends exactly the bytes it is given, for requests that no HTTP library would send that way."""

import http.client
import io
import socket
from dataclasses import dataclass
from typing import Any, Self, cast

import orjson

DEADLINE_SECONDS = 20
CLOSED = b""


@dataclass(frozen=True)
class Answer:
    """One answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(orjson.loads(self.body)["code"])


class RawClient:
    """One connection to a server."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), DEADLINE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send these parts, each in a segment of its own."""
        for part in parts:
            self.socket.sendall(part)

    def read_answer(self, method: str = "POST") -> Answer:
        """Read the next answer to its end, and no further."""
        response = http.client.HTTPResponse(cast("Any", _Shared(self._answers)), method=method)
        response.begin()
        return Answer(response.status, dict(response.headers.items()), response.read())

    def read_line(self) -> bytes:
        """Read one line."""
        return self._answers.readline()

    def wait_for_close(self) -> bytes:
        """Wait until the server closes the connection; return what came before."""
        return self._answers.read()


class _Shared:
    """Lends a connection's one reader to several answers, none of which may close it."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> Any:
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return the bytes of a request; underscores in header names stand for dashes."""
    given = {"Host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None and "Transfer-Encoding" not in given:
        given["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode() + (body or b"")
