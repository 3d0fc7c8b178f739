"""A server that behaves like NetSuite's SuiteQL service over REST, on loopback, with SQLite behind it; it logs calls.

As documented: POST with `Prefer: transient` and `{"q": …}`; at most 1,000 rows a page; an offset is a multiple of the
limit; nothing behind the offset cap; too many calls at once are 429 CONCURRENCY_LIMIT_EXCEEDED. Values are strings,
what is null is left out, and every item has `links`.
"""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-tests"  # noqa: S105
OFFSET_CAP_ROWS = 99_000
PAGE_ROWS = 1000
PATH = "/services/rest/query/v1/suiteql"


@dataclass(frozen=True)
class Call:
    """A call that came, and what it was answered with."""

    query: str
    limit: int
    offset: int
    status: int


@dataclass
class SuiteqlServer:
    """The service's state. Tests fill `database`, look at `calls`, and set how the service behaves."""

    database: sqlite3.Connection
    url: str = ""
    calls: list[Call] = field(default_factory=list, repr=False)
    most_in_flight: int = 0
    in_flight: int = 0
    concurrency: int = 5
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers that the next calls are answered with, whatever they ask."""
    code: str | None = None
    """The code of every error, in place of its own."""
    takes_wrapped_queries: bool = True
    orders_text_by_rules: bool = False
    """Whether ORDER BY knows no case, as a language's rules may have it, while conditions compare byte by byte."""
    let_go: threading.Event = field(default_factory=threading.Event)
    """While it is clear, calls are held before they are answered."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _totals: dict[str, int] = field(default_factory=dict, repr=False)

    def enter(self) -> bool:
        """Take note of a call; whether there is room for it."""
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            return self.in_flight <= self.concurrency

    def leave(self) -> None:
        with self._lock:
            self.in_flight -= 1

    def planned_refusal(self) -> tuple[int, dict[str, str]] | None:
        with self._lock:
            return self.refusals.pop(0) if self.refusals else None

    def forget(self) -> None:
        """Forget the totals, once rows were added or removed."""
        with self._lock:
            self._totals.clear()

    def page(self, query: str, limit: int, offset: int) -> dict[str, Any]:
        """Run a query; raises sqlite3.Error for an invalid query."""
        ordered = re.sub(r"(ORDER BY )(\w+)", r"\1\2 COLLATE NOCASE", query) if self.orders_text_by_rules else query
        with self._lock:
            if query not in self._totals:
                (self._totals[query],) = self.database.execute(f"SELECT count(*) FROM (\n{query}\n)").fetchone()
            total = self._totals[query]
            cursor = self.database.execute(f"SELECT * FROM (\n{ordered}\n) LIMIT ? OFFSET ?", (limit, offset))
            names = [column[0].lower() for column in cursor.description]
            rows = cursor.fetchall()
        items = [{"links": [], **_shown(names, row)} for row in rows]
        return {
            "links": [{"rel": "self", "href": f"{self.url}{PATH}?limit={limit}&offset={offset}"}],
            "count": len(items),
            "hasMore": offset + len(items) < total,
            "items": items,
            "offset": offset,
            "totalResults": total,
        }


def _shown(names: list[str], row: tuple[Any, ...]) -> dict[str, str]:
    return {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}


@contextmanager
def suiteql_server() -> Iterator[SuiteqlServer]:
    """Serve on a free port of loopback until the block ends."""
    state = SuiteqlServer(sqlite3.connect(":memory:", check_same_thread=False))
    state.let_go.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
        state.database.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: SuiteqlServer
    timeout = 10
    wbufsize = -1  # one packet an answer; in two the second waits 40 ms for the first one's acknowledgement

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        has_room = self.state.enter()
        try:
            status, headers, answer = self._answer(body, has_room=has_room)
            self.state.let_go.wait(30)
        finally:
            self.state.leave()
        self._send(status, headers, answer)

    def _answer(self, body: bytes, *, has_room: bool) -> tuple[int, dict[str, str], dict[str, Any]]:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        limit, offset = int(asked.get("limit", PAGE_ROWS)), int(asked.get("offset", 0))
        query = ""
        status, headers, answer = 200, {}, {}
        try:
            query = str(json.loads(body)["q"])
            if refusal := self.state.planned_refusal():
                status, headers, code = *refusal, "UNEXPECTED_ERROR"
                code = "CONCURRENCY_LIMIT_EXCEEDED" if status == HTTPStatus.TOO_MANY_REQUESTS else code
                answer = _problem(status, code)
            elif wrong := self._wrong(url.path, query, limit, offset, has_room=has_room):
                status, answer = wrong[0], _problem(wrong[0], self.state.code or wrong[1])
            else:
                answer = self.state.page(query, limit, offset)
        except (ValueError, LookupError, sqlite3.Error):
            status, answer = 400, _problem(400, "INVALID_PARAMETER")
        self.state.calls.append(Call(query, limit, offset, status))
        return status, headers, answer

    def _wrong(self, path: str, query: str, limit: int, offset: int, *, has_room: bool) -> tuple[int, str] | None:
        checks = (
            (path == PATH, 404, "NONEXISTENT_URL"),
            (self.headers.get("Authorization") == f"Bearer {TOKEN}", 401, "INVALID_LOGIN"),
            (has_room, 429, "CONCURRENCY_LIMIT_EXCEEDED"),
            (self.headers.get("Prefer") == "transient", 400, "INVALID_HEADER"),
            (self.headers.get("Content-Type") == "application/json", 400, "INVALID_HEADER"),
            (1 <= limit <= PAGE_ROWS and offset % limit == 0, 400, "INVALID_PARAMETER"),
            (offset < OFFSET_CAP_ROWS, 400, "INVALID_PARAMETER"),
            (self.state.takes_wrapped_queries or "FROM (" not in query, 400, "INVALID_PARAMETER"),
        )
        return next(((status, code) for is_right, status, code in checks if not is_right), None)

    def _send(self, status: int, headers: dict[str, str], answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def _problem(status: int, code: str) -> dict[str, Any]:
    return {
        "type": "https://www.rfc-editor.org/rfc/rfc9110.html",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "o:errorDetails": [{"detail": "It can't be taken.", "o:errorCode": code}],
    }
