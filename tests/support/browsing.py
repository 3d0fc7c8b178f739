"""A real browser that reaches this machine only, and sites on it for the browser to open."""

import http.client
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.programs import require_program

BROWSER_SECONDS = 60
HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


def browse(url: str, profile: Path, *, hosts_here: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Return the page as the browser has it after its scripts ran, and on stderr what they wrote to the console.

    Names of `hosts_here` lead to this machine, all others nowhere.
    """
    return subprocess.run(
        [
            require_program("chromium"),
            *options(profile, hosts_here),
            "--virtual-time-budget=10000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=BROWSER_SECONDS,
        check=True,
    )


@contextmanager
def opened(url: str, profile: Path) -> Iterator[None]:
    """Have a page open in a browser until the block ends; time passes in it as it does elsewhere."""
    # The port keeps it running; without one it ends with the page's load.
    command = [require_program("chromium"), *options(profile), "--remote-debugging-port=0", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            yield
        finally:
            browser.kill()


def options(profile: Path, hosts_here: tuple[str, ...] = ()) -> list[str]:
    """Return how a browser is started that keeps what it has in `profile`."""
    rules = [*(f"MAP {name} 127.0.0.1" for name in hosts_here), "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
    return [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        # A frame of another site in a process of its own: virtual time would pass while it loads.
        "--disable-site-isolation-trials",
        "--disable-features=IsolateOrigins,site-per-process",
        f"--host-resolver-rules={', '.join(rules)}",
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
    ]


@dataclass(frozen=True)
class Seen:
    """A request that a site got, and the status of its response."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int


@dataclass
class Site:
    """A site: its pages by path, and behind them a service (`host:port`), if it is the proxy of one."""

    pages: Mapping[str, str]
    service: str | None = None
    port: int = 0
    seen: list[Seen] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """Answers with a page of the site, or with what the service behind it answers."""

    site: Site

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if page := self.site.pages.get(self.path):
            self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, page.encode())
        elif self.site.service is None:
            self.reply(404, {}, b"")
        else:
            self.pass_on(self.site.service, body)

    def pass_on(self, service: str, body: bytes) -> None:
        connection = http.client.HTTPConnection(service, timeout=BROWSER_SECONDS)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "connection":
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        self.site.seen.append(Seen(self.command, self.path, dict(self.headers.items()), answer.status))
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
        self.reply(answer.status, kept, answer.read())
        connection.close()

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_OPTIONS = answer  # noqa: N815 (names of the library)


@contextmanager
def served(site: Site) -> Iterator[Site]:
    """Serve a site on a port of its own, which its `port` is then."""
    handler = type("Handler", (_Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
