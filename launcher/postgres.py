"""One embedded PostgreSQL server on one data folder: create it, start it, stop it.

It listens on a Unix socket only. The kernel tells it who connects (`peer`), so there is no password to keep and no
other account gets in, even one that can reach the socket.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from launcher.accounts import Account, caller
from launcher.errors import EngineError
from launcher.processes import command_line, end_process, recorded_pid, start_mark, wait_until

ROLE = "breakwater"
DATABASE = "breakwater"
STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
STALE_SECONDS = 10
START_RETRY_SECONDS = 10
"""How long a start is tried again: after SIGKILL, children of the old postmaster hold its shared memory a while."""
RECOVERY_SECONDS = 600
"""How long a living server may take to become ready; replaying 4 GB of WAL takes minutes on a slow disk."""
STOP_SECONDS = 60

SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_buffers": "16MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than any statement of ours takes
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

    `sockets` is an existing folder that `account` may write to. `control` is one that it can pass through; it holds
    the log and the access rules.
    """

    data: Path
    sockets: Path
    control: Path
    binaries: Path
    account: Account
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the database that a new folder is created with."""
        return self.url_for(DATABASE)

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.control / "postgres.log"

    def url_for(self, database: str) -> str:
        """Return the URL of another database of this server."""
        # The port stands in the URL so that a PGPORT in the environment can't name another socket.
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.sockets), safe='/')}&port=5432"

    def create(self) -> None:
        """Create the data folder if there is none; refuse one that another major version made.

        Interrupted, it leaves nothing that a later call would take for a complete folder.
        """
        if (self.data / "PG_VERSION").exists():
            self._refuse_other_version()
            return
        unfinished = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.account.own(unfinished)
        access = ("--auth-local=peer", "--auth-host=reject")
        alike = ("--encoding=UTF8", "--no-locale")
        self._run(
            "initdb", f"--pgdata={unfinished}", f"--username={ROLE}", *access, *alike, "--no-sync", "--no-instructions"
        )
        self._run(
            *("postgres", "--single", "-D", str(unfinished), "-c", "fsync=off", "postgres"),
            given=f"CREATE DATABASE {DATABASE}\n",
        )
        unfinished.rename(self.data)
        if self.settings.get("fsync") != "off":
            # initdb and the lines above left it to the kernel; this makes up for it without anybody waiting.
            threading.Thread(target=os.sync, daemon=True).start()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it; it may find that it can't run yet and end again."""
        self._write_access_rules()
        self._forget_foreign_pid()
        options = {
            **SERVER_SETTINGS,
            "hba_file": str(self.control / "pg_hba.conf"),
            "ident_file": str(self.control / "pg_ident.conf"),
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0777",  # its folder and `peer` keep others out
            **self.settings,
        }
        with self.log.open("ab") as log:
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
        """Say whether the server we started takes connections, by what it writes into its pid file."""
        if self.process is None:
            return False
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def start(self) -> None:
        """Start the server and wait until it takes connections; raises EngineError with the end of its log."""
        give_up = time.monotonic() + START_RETRY_SECONDS
        while True:
            self.spawn()
            ended = self._wait_for_start()
            if not ended:
                return
            if time.monotonic() > give_up:
                raise EngineError(f"PostgreSQL doesn't start; the end of {self.log} says:\n{self._log_tail()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the server: sessions are ended, everything is written. Does nothing when it isn't running."""
        self._end(STOP_SIGNALS, seconds=STOP_SECONDS)

    def kill_immediate(self) -> None:
        """End the server at once without a checkpoint, as a crash would; the next start recovers from the WAL."""
        self._end((signal.SIGQUIT,), seconds=5)

    def _wait_for_start(self) -> bool:
        """Wait until the server is ready or has ended; return whether it has ended."""
        process = self.process
        if process is None:
            return True
        if not wait_until(lambda: self.is_ready() or process.poll() is not None, seconds=RECOVERY_SECONDS):
            raise EngineError(f"PostgreSQL isn't ready after {RECOVERY_SECONDS} s; see {self.log}.")
        return process.poll() is not None

    def _end(self, signals: tuple[signal.Signals, ...], *, seconds: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        for number in (*signals, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return

    def _run(self, program: str, *arguments: str, given: str = "") -> None:
        done = subprocess.run(  # noqa: S603
            [str(self.binaries / program), *arguments],
            cwd="/",
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
            process_group=0,  # a Ctrl-C meant for us doesn't end it half-way
            **self.account.popen_arguments(),
        )
        if done.returncode != 0:
            raise EngineError(f"{program} can't create {self.data}: {done.stderr.strip() or done.stdout.strip()}")

    def _refuse_other_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        shown = subprocess.run(  # noqa: S603
            [str(self.binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
        ).stdout
        ours = shown.split()[2].split(".")[0]
        if made_by != ours:
            raise EngineError(
                f"The data in {self.data} was made by PostgreSQL {made_by} and this is {ours}: dump it with the old "
                "version, or set BREAKWATER_DATA_DIR to a new folder."
            )

    def _write_access_rules(self) -> None:
        rules = {
            "pg_hba.conf": "local all all peer map=caller\n",
            "pg_ident.conf": f'caller "{caller().name}" {ROLE}\n',
        }
        for name, text in rules.items():
            path = self.control / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)

    def _forget_foreign_pid(self) -> None:
        """Remove a pid file whose number belongs to another program by now; PostgreSQL would refuse to start."""
        pid = recorded_pid(self.data / "postmaster.pid")
        running = command_line(pid) if pid else ""
        if running and str(self.data) not in running:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def end_stale(data: Path) -> None:
    """Stop a server on this data folder that another run left behind."""
    pid = recorded_pid(data / "postmaster.pid")
    mark = start_mark(pid) if pid else None
    if pid and mark and str(data) in command_line(pid):
        end_process(pid, mark, signals=STOP_SIGNALS, seconds=STALE_SECONDS)
