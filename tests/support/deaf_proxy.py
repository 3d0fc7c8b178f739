"""A proxy before an API, which may lose answers: the request arrives, and its client never hears of it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class DeafProxy:
    """Passes on what clients send. While `is_deaf` no answer comes back; `lost` is set once one was held back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.is_deaf = False
        self.deaf_from: bytes | None = None
        """What a request has in it that makes the proxy deaf."""
        self.cuts = False
        """Whether the client's connection is closed in place of an answer."""
        self.lost = threading.Event()

    def pass_to(self, url: str) -> None:
        """Pass new connections to the API at this URL from now on."""
        self._port = _port_of(url)

    def serve(self) -> None:
        """Take connections until the proxy is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    upstream = socket.create_connection(("127.0.0.1", self._port))
                except ConnectionRefusedError:
                    client.close()
                    continue
                threading.Thread(target=self._pump, args=(client, upstream), daemon=True).start()
                threading.Thread(
                    target=self._pump, args=(upstream, client), kwargs={"is_answer": True}, daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, *, is_answer: bool = False) -> None:
        with suppress(OSError), source, target:
            while content := source.recv(65_536):
                if not is_answer and self.deaf_from and self.deaf_from in content:
                    self.is_deaf = True
                if is_answer and self.is_deaf:
                    self.lost.set()
                    if self.cuts:
                        target.shutdown(socket.SHUT_RDWR)
                        return
                    continue
                target.sendall(content)

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()


@contextmanager
def deaf_proxy(url: str) -> Iterator[DeafProxy]:
    """A proxy before the API at this URL."""
    proxy = DeafProxy(_port_of(url))
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
