"""`breakwater run`: supervises engines, API and workers as separate processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from launcher.accounts import Account, account_for_engines, caller
from launcher.address import is_ready, refuse_taken_port, refuse_unsafe_address, url_of
from launcher.child_processes import Child
from launcher.embedded import postgres_in, valkey_in
from launcher.errors import EngineError
from launcher.folder import Connections, DataFolder, choose_folder
from launcher.orphan_reaper import OrphanReaper
from launcher.postgres import RECOVERY_SECONDS, STOP_SIGNALS
from launcher.service_account import choose_service_account, give_staging
from launcher.stale_processes import record_children
from launcher.stop_requests import StopRequests
from runtime.errors import StartError
from runtime.python import python_command
from runtime.settings import Settings, pass_urls

log = structlog.get_logger()

ENGINE_DEATHS_ALLOWED = 8
"""Early deaths of an engine at the first start before the run gives up: about 10 s with the pauses."""
KILL_SECONDS = 5
_LOOK_SECONDS = 0.05


class Stopped(Exception):
    """A stop was requested while the run was starting."""


class Supervisor:
    """A run. `run` returns after a request to stop, once its processes have ended."""

    def __init__(self, settings: Settings, folder: DataFolder, services: Account | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self.account = services or caller()
        self.service_database_url = settings.database_url or ""
        self.engines: list[Child] = []
        self.services: list[Child] = []
        self.connections = Connections(settings.database_url or "", settings.redis_url or "")
        self.stop_requests = StopRequests()

    def run(self) -> None:
        """Start all processes, keep them alive until a signal, and end them. Raises StartError if a start fails."""
        with self.stop_requests.received(), _lifeline() as self._lifeline:
            try:
                self._start()
                while not self.stop_requests.is_asked:
                    self._tick(None)
            except Stopped:
                pass
            finally:
                self._stop()

    def _start(self) -> None:
        self._start_engines()
        self.folder.publish(self.connections)
        self._finish(
            self._spawn_owner("migrate"),
            failure="The database could not be brought to this version's schema; the reason stands above.",
        )
        self._finish(
            self._spawn_service(*_configuring(self.settings)),
            failure="The configuration could not be applied; the reason stands above.",
        )
        self.services = [
            self._service("api", "api"),
            *(self._service(f"worker-{number}", "worker") for number in range(1, self.settings.workers + 1)),
        ]
        asked_at = time.monotonic()
        self._wait(lambda: is_ready(self.settings))
        url = url_of(self.settings)
        log.info("service_ready", url=url, after_seconds=round(time.monotonic() - asked_at, 3))
        sys.stderr.write(f"Breakwater listens on {url} (the API is described at {url}/docs).\n")

    def _start_engines(self) -> None:
        database_url, redis_url = self.connections
        ready: list[Callable[[], bool]] = []
        logs = []
        if not database_url:
            postgres = postgres_in(self.folder)
            postgres.create()
            database_url = postgres.url
            self.service_database_url = postgres.service_url
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

    def _finish(self, process: subprocess.Popen[bytes], *, failure: str) -> None:
        """Wait for the end of a command, and raise StartError if it fails."""
        try:
            self._wait(lambda: process.poll() is not None)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode != 0:
            raise StartError(failure)

    def _service(self, name: str, command: str) -> Child:
        return Child(name, lambda: self._spawn_service(command), self._record)

    def _spawn_service(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command that reads what others send: under the services' account, as a role that owns nothing."""
        urls = self.connections._replace(database_url=self.service_database_url)
        return _spawn(command, self.account, urls, lifeline=self._lifeline)

    def _spawn_owner(self, *command: str) -> subprocess.Popen[bytes]:
        return _spawn(command, caller(), self.connections, lifeline=self._lifeline)

    def _wait(self, claim: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Keep all processes alive until the claim is true; raises Stopped if a stop is requested meanwhile."""
        give_up = None if seconds is None else time.monotonic() + seconds
        while not claim():
            if give_up is not None and time.monotonic() > give_up:
                raise StartError(f"Nothing was ready after {seconds:g} s; the logs in {self.folder.path} say why.")
            self._tick(_LOOK_SECONDS)
            if self.stop_requests.is_asked:
                raise Stopped

    def _tick(self, longest: float | None) -> None:
        """Sleep until a signal comes or a restart is due, then check every child."""
        children = [*self.engines, *self.services]
        due = [child.due_at - time.monotonic() for child in children if child.due_at is not None]
        pause = min([*due, *([] if longest is None else [longest])], default=None)
        self.stop_requests.sleep(pause)
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
        """End these children together: in order, then by force after the time limit or a second request."""
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
            if patient and self.stop_requests.is_hurried:
                return
            self.stop_requests.sleep(_LOOK_SECONDS)


def _spawn(command: Sequence[str], account: Account, urls: Connections, *, lifeline: int) -> subprocess.Popen[bytes]:
    arguments, environment = python_command("cli.supervised", *command)
    pass_urls(environment, database_url=urls.database_url, redis_url=urls.redis_url)
    switching = account.switching()
    if switching:
        environment["HOME"] = "/"  # root's can't be entered
    return subprocess.Popen(arguments, env=environment, stdin=lifeline, process_group=0, **switching)  # noqa: S603


def _configuring(settings: Settings) -> list[str]:
    """Return the command that commits a configuration: CONFIG; on stores not of this run only if there is none yet.

    Without a file with providers, `echo` stands in for them.
    """
    file = settings.file
    command = ["config", "apply", *([str(settings.config)] if file is not None else [])]
    if settings.simulate or file is None or not file.providers:
        command.append("--simulate")
    return command if file is not None and not settings.database_url else [*command, "--if-none"]


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """Open a pipe without writing to it, and return its read end, from which children see that this process ended."""
    read_end, write_end = os.pipe()
    try:
        yield read_end
    finally:
        os.close(write_end)
        os.close(read_end)


def run(settings: Settings) -> None:
    """Hold the data folder, then run until a request to stop. Raises StartError with a sentence if a start fails."""
    needs_engines = not (settings.database_url and settings.redis_url)
    account = account_for_engines() if needs_engines else caller()
    choice = choose_folder(data_dir=settings.data_dir, port=settings.port, account=account)
    if choice.reason:
        log.warning("data_folder_moved", folder=str(choice.path), reason=choice.reason)
    services = choose_service_account(settings)
    if services.reason:
        log.warning("services_run_as_root", reason=services.reason)
    folder = DataFolder(choice.path, account, services.account).hold()
    try:
        reaper = OrphanReaper(folder.path)
        try:
            refuse_unsafe_address(settings)
            refuse_taken_port(settings)
            give_staging(settings.data_dir, services.account)
            Supervisor(settings, folder, services.account).run()
        finally:
            reaper.dismiss()
    finally:
        folder.release()
