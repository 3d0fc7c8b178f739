"""The data folder of an embedded PostgreSQL server: creating it, and checking for a server on it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from launcher.accounts import ENVIRONMENT, Account
from launcher.errors import EngineError
from launcher.processes import command_line, recorded_pid


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """A data folder at `path`, whose files belong to `account`."""

    path: Path
    binaries: Path
    account: Account

    def create(self, *, role: str, database: str) -> bool:
        """Create the folder with a role and a database; return whether it was missing.

        Refuses a folder of another major version. If interrupted, it leaves no folder that a later call takes for
        complete. It doesn't sync to the disk.
        """
        if (self.path / "PG_VERSION").exists():
            self._refuse_other_version()
            return False
        unfinished = self.path.with_name(f"{self.path.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.account.own(unfinished)
        access = ("--auth-local=peer", "--auth-host=reject")
        alike = ("--encoding=UTF8", "--no-locale")
        self._run(
            "initdb", f"--pgdata={unfinished}", f"--username={role}", *access, *alike, "--no-sync", "--no-instructions"
        )
        self._run(
            *("postgres", "--single", "-D", str(unfinished), "-c", "fsync=off", "postgres"),
            given=f"CREATE DATABASE {database}\n",
        )
        unfinished.rename(self.path)
        return True

    def forget_foreign_pid(self) -> None:
        """Remove a pid file whose number belongs to another program now; PostgreSQL would refuse to start."""
        pid = recorded_pid(self.path / "postmaster.pid")
        running = command_line(pid) if pid else ""
        if running and str(self.path) not in running:
            (self.path / "postmaster.pid").unlink(missing_ok=True)

    def is_ready(self, pid: int) -> bool:
        """Say whether the server with this process id accepts connections, by its pid file."""
        try:
            lines = (self.path / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def _run(self, program: str, *arguments: str, given: str = "") -> None:
        done = subprocess.run(  # noqa: S603
            [str(self.binaries / program), *arguments],
            cwd="/",
            input=given,
            capture_output=True,
            text=True,
            check=False,
            process_group=0,  # so that a Ctrl-C for this process doesn't interrupt it
            **self.account.popen_arguments(),
        )
        if done.returncode != 0:
            raise EngineError(f"{program} can't create {self.path}: {done.stderr.strip() or done.stdout.strip()}")

    def _refuse_other_version(self) -> None:
        made_by = (self.path / "PG_VERSION").read_text(encoding="utf-8").strip()
        shown = subprocess.run(  # noqa: S603
            [str(self.binaries / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=True,
            env=ENVIRONMENT,
        ).stdout
        ours = shown.split()[2].split(".")[0]
        if made_by != ours:
            raise EngineError(
                f"The data in {self.path} was made by PostgreSQL {made_by} and this is {ours}: dump it with the old "
                "version, or set BREAKWATER_DATA_DIR to a new folder."
            )
