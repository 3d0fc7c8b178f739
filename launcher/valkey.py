"""An embedded Valkey server on a data folder: starting and stopping it.

It listens on a Unix socket only, and takes no command without its password. Other processes of the account that runs it
can reach the socket, but not read the password: the server is told it over a pipe, not in its arguments.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from launcher.accounts import Account
from launcher.errors import EngineError
from launcher.folder import open_log
from launcher.processes import end_process, recorded_pid, start_time, took_lock, wait_until
from launcher.servers import end_server, start_server

STOP_SIGNALS = (signal.SIGTERM,)
STALE_SECONDS = 10
PID_FILE = "valkey.pid"
LOADING_SECONDS = 300
"""How long a server may take to read its append-only file."""
STOP_SECONDS = 30


@dataclass
class Valkey:
    """A server on `data`, run by `account`; `sockets` is an existing folder it may write to."""

    data: Path
    sockets: Path
    control: Path
    server: Path
    account: Account
    password: str = field(default_factory=secrets.token_hex, repr=False)
    services: Account | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the first logical database."""
        return f"unix://:{quote(self.password, safe='')}@{quote(str(self.socket), safe='/')}?db=0"

    @property
    def socket(self) -> Path:
        """The server's socket."""
        return self.sockets / "valkey.sock"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.control / "valkey.log"

    def create(self) -> None:
        """Create the data folder if there is none."""
        if not self.data.exists():
            self.data.mkdir(mode=0o700)
            self.account.own(self.data)

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it; raises EngineError while another server has the folder.

        Two servers on one append-only file destroy it. So the server inherits a lock on the folder, which the kernel
        holds as long as the server lives, even if this process ends.
        """
        lock = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not took_lock(lock):
            os.close(lock)
            raise EngineError(f"Another Valkey server still runs on {self.data}.")
        (self.data / PID_FILE).unlink(missing_ok=True)  # a killed server's; its number may be reused
        try:
            return self._run_server(lock)
        finally:
            os.close(lock)

    def is_ready(self) -> bool:
        """Say whether the server takes the password and answers PONG; while it reads its file it answers LOADING."""
        answer = b""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            while answer.count(b"\n") < 2 and (piece := connection.recv(64)):  # noqa: PLR2004  a line for each command
                answer += piece
        return answer == b"+OK\r\n+PONG\r\n"

    def start(self) -> None:
        """Start the server and wait until it answers; raises EngineError with the end of its log."""
        start_server(self.spawn, self.is_ready, name="Valkey", log=self.log, ready_seconds=LOADING_SECONDS)

    def stop(self) -> None:
        """Stop the server, if it runs; its file is complete then."""
        self._end((*STOP_SIGNALS, signal.SIGKILL))

    def kill(self) -> None:
        """End the server like a crash."""
        self._end((signal.SIGKILL,))

    def _run_server(self, lock: int) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            # Its folder and the password keep other accounts out.
            "unixsocketperm": "777" if self.services and self.services.switch else "700",
            "dir": str(self.data),
            "pidfile": str(self.data / PID_FILE),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "loglevel": "notice",
        }
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        with open_log(self.log) as log:
            self.process = subprocess.Popen(  # noqa: S603
                [str(self.server), *given, "-"],  # the rest comes by the pipe
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,
                pass_fds=(lock,),
                **self.account.popen_arguments(),
            )
        with contextlib.suppress(BrokenPipeError), self.process.stdin as settings:  # type: ignore[union-attr]
            settings.write(f"requirepass {self.password}\n".encode())
        return self.process

    def _end(self, signals: tuple[signal.Signals, ...]) -> None:
        process, self.process = self.process, None
        if process is not None:
            end_server(process, signals, seconds=STOP_SECONDS)


def end_stale(data: Path) -> None:
    """Stop a server of an earlier run on this data folder."""
    try:
        lock = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        pid_file = data / PID_FILE
        # A server takes the lock at its start, and writes its pid file a moment later.
        wait_until(lambda: took_lock(lock) or recorded_pid(pid_file) is not None, seconds=STALE_SECONDS)
        pid = None if took_lock(lock) else recorded_pid(pid_file)
        started = start_time(pid) if pid else None
        if pid and started:
            end_process(pid, started, signals=STOP_SIGNALS, seconds=STALE_SECONDS)
    finally:
        os.close(lock)
