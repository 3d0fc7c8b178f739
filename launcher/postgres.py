"""An embedded PostgreSQL server on a data folder: creating, starting and stopping it.

It listens on a Unix socket only. The kernel names the connecting account (`peer`), so there is no password, and no
other account gets access, even if it can reach the socket. API and workers connect as a role that owns nothing.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from launcher.accounts import Account, caller
from launcher.folder import open_log, write_private
from launcher.postgres_folder import PostgresFolder
from launcher.processes import command_line, end_process, recorded_pid, start_time
from launcher.servers import end_server, start_server

ROLE = "breakwater"
SERVICE_ROLE = "breakwater_service"
"""Migrations make it; API and workers connect as it (docs/decisions/0048)."""
DATABASE = "breakwater"
STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
STALE_SECONDS = 10
RECOVERY_SECONDS = 600
"""How long a server may take to become ready; replaying 4 GB of WAL takes minutes on a slow disk."""
STOP_SECONDS = 60

SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_buffers": "16MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # JIT compiling takes longer than any statement of ours
    "fsync": "on",  # a confirmed commit is never lost
    "synchronous_commit": "on",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
}


@dataclass
class Postgres:
    """A server on `data`, run by `account`; `settings` override SERVER_SETTINGS.

    `services` is the account of API and workers; if it is another than this one's, it connects as SERVICE_ROLE only.
    `sockets` is an existing folder that `account` may write to. `control` is a folder it can pass through; it holds
    the log and the access rules.
    """

    data: Path
    sockets: Path
    control: Path
    binaries: Path
    account: Account
    settings: Mapping[str, str] = field(default_factory=dict)
    services: Account | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the database that a new folder is created with."""
        return self.url_for(DATABASE)

    @property
    def service_url(self) -> str:
        """The URL of the same database for API and workers, once it is migrated."""
        return self.url_for(DATABASE, role=SERVICE_ROLE)

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.control / "postgres.log"

    def url_for(self, database: str, *, role: str = ROLE) -> str:
        """Return the URL of another database of this server."""
        # The URL has the port, so that a PGPORT in the environment can't select another socket.
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets), safe='/')}&port=5432"

    def create(self) -> None:
        """Create the data folder if there is none; refuse a folder that another major version made."""
        if self._folder.create(role=ROLE, database=DATABASE) and self.settings.get("fsync") != "off":
            # initdb ran without syncing; this syncs in the background.
            threading.Thread(target=os.sync, daemon=True).start()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it; it may end at once if it can't run yet."""
        self._write_access_rules()
        self._folder.forget_foreign_pid()
        options = {
            **SERVER_SETTINGS,
            "hba_file": str(self.control / "pg_hba.conf"),
            "ident_file": str(self.control / "pg_ident.conf"),
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0777",  # its folder and `peer` keep other accounts out
            **self.settings,
        }
        with open_log(self.log) as log:
            self.process = subprocess.Popen(  # noqa: S603
                [str(self.binaries / "postgres"), "-D", str(self.data)]
                + [part for name, value in options.items() for part in ("-c", f"{name}={value}")],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                **self.account.popen_arguments(),
            )
        return self.process

    def is_ready(self) -> bool:
        """Say whether the started server accepts connections."""
        return self.process is not None and self._folder.is_ready(self.process.pid)

    def start(self) -> None:
        """Start the server and wait until it accepts connections; raises EngineError with the end of its log."""
        start_server(self.spawn, self.is_ready, name="PostgreSQL", log=self.log, ready_seconds=RECOVERY_SECONDS)

    def stop(self) -> None:
        """Stop the server, if it runs: end sessions, write everything to the disk."""
        self._end(STOP_SIGNALS, seconds=STOP_SECONDS)

    def kill_immediate(self) -> None:
        """End the server at once without a checkpoint, like a crash; the next start recovers from the WAL."""
        self._end((signal.SIGQUIT,), seconds=5)

    @property
    def _folder(self) -> PostgresFolder:
        return PostgresFolder(self.data, self.binaries, self.account)

    def _end(self, signals: tuple[signal.Signals, ...], *, seconds: float) -> None:
        process, self.process = self.process, None
        if process is not None:
            end_server(process, (*signals, signal.SIGKILL), seconds=seconds)

    def _write_access_rules(self) -> None:
        allowed = [(caller().name, ROLE), (caller().name, SERVICE_ROLE)]
        if self.services is not None and self.services.name != caller().name:
            allowed.append((self.services.name, SERVICE_ROLE))
        rules = {
            "pg_hba.conf": "local all all peer map=caller\n",
            "pg_ident.conf": "".join(f'caller "{name}" {role}\n' for name, role in allowed),
        }
        for name, text in rules.items():
            write_private(self.control / name, text)
            self.account.let_read(self.control / name)


def end_stale(data: Path) -> None:
    """Stop a server of an earlier run on this data folder."""
    pid = recorded_pid(data / "postmaster.pid")
    started = start_time(pid) if pid else None
    if pid and started and str(data) in command_line(pid):
        end_process(pid, started, signals=STOP_SIGNALS, seconds=STALE_SECONDS)
