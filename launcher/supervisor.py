"""`breakwater run`: engines, API and workers as separate processes, kept alive together and ended together."""

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import structlog

from launcher.accounts import account_for_engines, caller
from launcher.child_processes import Child
from launcher.embedded import postgres_in, valkey_in
from launcher.errors import EngineError, PortTakenError
from launcher.folder import Connections, DataFolder, choose_folder
from launcher.orphan_reaper import OrphanReaper
from launcher.postgres import RECOVERY_SECONDS, STOP_SIGNALS
from launcher.stale_processes import record_children
from runtime.errors import SettingError, StartError
from runtime.python import python_command
from runtime.settings import PREFIX, Settings

log = structlog.get_logger()

ENGINE_DEATHS_ALLOWED = 8
"""Early deaths of an engine at first start before it is given up: with the pauses between them, about 10 s."""
KILL_SECONDS = 5
SAME_REQUEST_SECONDS = 1
"""One request to stop may come twice: by itself, and through make or a shell that passes it on to its group."""
_LOOK_SECONDS = 0.05


class Stopped(Exception):
    """Somebody asked the run to end while it was starting."""


class Supervisor:
    """One run. `run` returns once it was told to stop and nothing is left."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        self.settings = settings
        self.folder = folder
        self.engines: list[Child] = []
        self.services: list[Child] = []
        self.connections = Connections(settings.database_url or "", settings.redis_url or "")
        self.stop_asked_at: float | None = None
        self.is_hurried = False
        self.engines_are_own = not settings.database_url

    def run(self) -> None:
        """Start everything, keep it alive until a signal comes, end everything. Raises StartError if it can't start."""
        with self._signals() as self._wakeup, _lifeline() as self._lifeline:
            try:
                self._start()
                while self.stop_asked_at is None:
                    self._tick(None)
            except Stopped:
                pass
            finally:
                self._stop()

    def _start(self) -> None:
        self._start_engines()
        self.folder.publish(self.connections)
        self._finish(
            "migrate", failure="The database could not be brought to this version's schema; the reason stands above."
        )
        self._finish(*self._configure(), failure="The configuration could not be applied; the reason stands above.")
        self.services = [
            self._service("api", "api"),
            *(self._service(f"worker-{number}", "worker") for number in range(1, self.settings.workers + 1)),
        ]
        asked_at = time.monotonic()
        self._wait(self._is_ready)
        log.info("service_ready", url=self._url(), after_seconds=round(time.monotonic() - asked_at, 3))
        sys.stderr.write(f"Breakwater listens on {self._url()} (the API is described at {self._url()}/docs).\n")

    def _start_engines(self) -> None:
        database_url, redis_url = self.connections
        ready: list[Callable[[], bool]] = []
        logs = []
        if not database_url:
            postgres = postgres_in(self.folder)
            postgres.create()
            database_url = postgres.url
            self.engines.append(Child("postgres", postgres.spawn, self._record, *STOP_SIGNALS))
            ready.append(postgres.is_ready)
            logs.append(postgres.log)
        if not redis_url:
            valkey = valkey_in(self.folder)
            valkey.create()
            redis_url = valkey.url
            self.engines.insert(0, Child("valkey", valkey.spawn, self._record))
            ready.append(valkey.is_ready)
            logs.append(valkey.log)
        self.connections = Connections(database_url, redis_url)
        self._wait(lambda: self._engines_gave_up() or all(is_ready() for is_ready in ready), seconds=RECOVERY_SECONDS)
        if self._engines_gave_up():
            raise EngineError(f"The embedded engines don't start; see {' and '.join(map(str, logs))}.")

    def _engines_gave_up(self) -> bool:
        return any(child.early_deaths > ENGINE_DEATHS_ALLOWED for child in self.engines)

    def _configure(self) -> list[str]:
        """Return the command that commits a configuration: CONFIG, on other stores only where there is none yet.

        Without one that has providers, `echo` stands in for them.
        """
        file = self.settings.file
        given = ["config", "apply", *([str(self.settings.config)] if file is not None else [])]
        if self.settings.simulate or file is None or not file.providers:
            given.append("--simulate")
        return given if file is not None and self.engines_are_own else [*given, "--if-none"]

    def _finish(self, *command: str, failure: str) -> None:
        """Run a command to its end, and raise StartError if it fails."""
        process = self._spawn(*command)
        try:
            self._wait(lambda: process.poll() is not None)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode != 0:
            raise StartError(failure)

    def _service(self, name: str, command: str) -> Child:
        return Child(name, lambda: self._spawn(command), self._record)

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        arguments, environment = python_command("cli.supervised", *command)
        environment[f"{PREFIX}DATABASE_URL"] = self.connections.database_url
        environment[f"{PREFIX}REDIS_URL"] = self.connections.redis_url
        return subprocess.Popen(arguments, env=environment, stdin=self._lifeline, process_group=0)  # noqa: S603

    def _wait(self, claim: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Keep everything alive until the claim is true; raises Stopped when somebody asks to end meanwhile."""
        give_up = None if seconds is None else time.monotonic() + seconds
        while not claim():
            if give_up is not None and time.monotonic() > give_up:
                raise StartError(f"Nothing was ready after {seconds:g} s; the logs in {self.folder.path} say why.")
            self._tick(_LOOK_SECONDS)
            if self.stop_asked_at is not None:
                raise Stopped

    def _tick(self, longest: float | None) -> None:
        """Sleep until something happens or is due, then look after every child."""
        children = [*self.engines, *self.services]
        due = [child.due_at - time.monotonic() for child in children if child.due_at is not None]
        pause = min([*due, *([] if longest is None else [longest])], default=None)
        readable, _, _ = select.select([self._wakeup], [], [], None if pause is None else max(pause, 0))
        if readable:
            self._wakeup.recv(4096)
        for child in children:
            child.keep_alive()

    def _record(self) -> None:
        named = [(child.name, child.pid) for child in (*reversed(self.services), *self.engines)]  # workers end first
        record_children(self.folder.path, [(name, pid) for name, pid in named if pid])

    def _stop(self) -> None:
        api, workers = self.services[:1], self.services[1:]
        grace = self.settings.shutdown_seconds + KILL_SECONDS
        self.folder.withdraw()
        self._end(workers, seconds=grace)
        self._end(api, seconds=grace)
        self._end(self.engines, seconds=60)
        log.info("service_stopped")

    def _end(self, children: Sequence[Child], *, seconds: float) -> None:
        """End some children together: politely, then by force when the time is over or somebody asks twice."""
        for child in children:
            child.end(child.ending)
        self._wait_for_end(children, seconds=seconds, patient=True)
        for child in children:
            if not child.has_ended():
                log.warning("process_killed", name=child.name, pid=child.pid)
                child.end(child.hurrying)
        self._wait_for_end(children, seconds=KILL_SECONDS, patient=False)
        for child in children:
            child.end(signal.SIGKILL)
            if child.process:
                child.process.wait()

    def _wait_for_end(self, children: Sequence[Child], *, seconds: float, patient: bool) -> None:
        give_up = time.monotonic() + seconds
        while not all(child.has_ended() for child in children) and time.monotonic() < give_up:
            if patient and self.is_hurried:
                return
            select.select([self._wakeup], [], [], _LOOK_SECONDS)
            with contextlib.suppress(BlockingIOError):
                self._wakeup.recv(4096)

    def _is_ready(self) -> bool:
        host, port = self._address()
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _address(self) -> tuple[str, int]:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (read, not bound)
        return everywhere.get(self.settings.host, self.settings.host), self.settings.port

    def _url(self) -> str:
        host, port = self._address()
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Turn signals, those of dying children included, into bytes that `_tick` wakes up for."""
        receiver, sender = socket.socketpair()
        receiver.settimeout(0)
        sender.settimeout(0)
        with receiver, sender:
            before = {number: signal.signal(number, self._note_signal) for number in (*_STOP_SIGNALS, signal.SIGCHLD)}
            signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
            try:
                yield receiver
            finally:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _note_signal(self, number: int, _frame: FrameType | None) -> None:
        if number not in _STOP_SIGNALS:
            return
        now = time.monotonic()
        if self.stop_asked_at is None:
            self.stop_asked_at = now
            log.info("service_stopping", signal=signal.Signals(number).name)
        elif now - self.stop_asked_at > SAME_REQUEST_SECONDS:
            self.is_hurried = True


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """Open a pipe that nobody writes to, and give its read end: children learn from it that this process has ended."""
    read_end, write_end = os.pipe()
    try:
        yield read_end
    finally:
        os.close(write_end)
        os.close(read_end)


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(settings: Settings) -> None:
    """Hold the data folder, then run until told to stop. Raises StartError with one sentence if it can't start."""
    needs_engines = not (settings.database_url and settings.redis_url)
    account = account_for_engines() if needs_engines else caller()
    choice = choose_folder(data_dir=settings.data_dir, port=settings.port, account=account)
    if choice.reason:
        log.warning("data_folder_moved", folder=str(choice.path), reason=choice.reason)
    folder = DataFolder(choice.path, account).hold()
    try:
        reaper = OrphanReaper(folder.path)
        try:
            refuse_taken_port(settings)
            Supervisor(settings, folder).run()
        finally:
            reaper.dismiss()
    finally:
        folder.release()


def refuse_taken_port(settings: Settings) -> None:
    """Raise PortTakenError if another program listens where the API is to listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise SettingError(f"BREAKWATER_HOST is {settings.host}, which is no address of this machine.") from None
    with socket.socket(family, kind, protocol) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(address)
        except OSError as error:
            raise PortTakenError(
                f"Port {settings.port} on {settings.host} can't be used ({error.strerror}): "
                "stop what listens there, or set BREAKWATER_PORT."
            ) from None
