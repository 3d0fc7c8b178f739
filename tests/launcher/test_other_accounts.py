"""What others on the machine can do about the engines: see no key of the service, give no command, read no file."""

import asyncio
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from launcher.accounts import ENVIRONMENT, Account, account_for_engines
from launcher.embedded import Engines, engines_in, valkey_in
from launcher.folder import DataFolder, read_connections
from launcher.orphan_reaper import OrphanReaper
from launcher.service_account import NAMES
from launcher.valkey import Valkey
from tests.launcher.runs import is_alive
from tests.support.connections import database_connections
from tests.support.engines import TEST_POSTGRES_SETTINGS
from tests.support.waiting import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes accounts")
PROVIDER_KEY = "sk-hush-0123456789"
COMMANDS = ("PING", "INFO", "KEYS *", "CONFIG GET *", "FLUSHALL", "ACL LIST", "HELLO 3", "SHUTDOWN NOSAVE")
SEND = """
import socket, sys
for command in sys.argv[2:]:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        server.sendall(command.encode() + b"\\r\\n")
        print(server.recv(1000).decode().splitlines()[0])
"""
LOG_IN = """
import socket, struct, sys
for role in sys.argv[2:]:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        given = struct.pack("!i", 196608) + f"user\\0{role}\\0database\\0breakwater\\0\\0".encode()
        server.sendall(struct.pack("!i", len(given) + 4) + given)
        print(role, "is in" if server.recv(1) == b"R" else "is refused")
"""
READ = """
import pathlib, sys
for path in sys.argv[1:]:
    try:
        sys.stdout.write(pathlib.Path(path).read_bytes().decode(errors="replace"))
    except PermissionError:
        pass
"""


@pytest.fixture
def engines(migrated_data_dir: Path, held: DataFolder) -> Iterator[Engines]:
    pair = engines_in(held, postgres_settings=TEST_POSTGRES_SETTINGS)
    pair.start()
    yield pair
    pair.stop()


def run_as(account: Account, script: str, *arguments: object) -> str:
    """Run a script under an account; return what it wrote."""
    found = (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin") or "")
    python = next((each for each in found if each and account.can_reach(Path(each).resolve().parent)), None)
    if python is None:
        pytest.skip(f"no Python that {account.name} can run")
    switched = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.switch else {}
    command = [python, "-I", "-S", "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, **switched).stdout


def test_no_process_of_the_engines_account_has_a_key_of_the_service(start_run, migrated_data_dir, monkeypatch):
    monkeypatch.setenv("HYBRID_API_KEY", PROVIDER_KEY)
    monkeypatch.setenv("ERP_URL", f"postgresql://erp:{PROVIDER_KEY}@db/erp")
    run = start_run()
    run.wait_for("worker-1")
    services = [psutil.Process(run.wait_for(name)) for name in ("api", "worker-1")]
    engines = [psutil.Process(run.wait_for(name)) for name in ("postgres", "valkey")]
    engines += engines[0].children(recursive=True)
    assert len(engines) > 4
    assert all(PROVIDER_KEY in process.environ().values() for process in services)
    environments = [f"/proc/{process.pid}/environ" for process in engines]
    assert PROVIDER_KEY not in run_as(account_for_engines(), READ, *environments)
    assert PROVIDER_KEY not in "".join(Path(path).read_bytes().decode(errors="replace") for path in environments)
    assert all(process.environ().keys() <= ENVIRONMENT.keys() for process in engines)


def test_another_process_of_the_account_commands_no_valkey(engines: Engines, held: DataFolder):
    with redis.Redis.from_url(engines.valkey.url) as client:
        client.set("kept", "1")
    answers = run_as(held.account, SEND, engines.valkey.socket, *COMMANDS).splitlines()
    assert len(answers) == len(COMMANDS)
    assert all(answer.startswith("-NOAUTH") for answer in answers), answers
    wrong = run_as(held.account, SEND, engines.valkey.socket, "AUTH hush", "AUTH default ''", f"AUTH {'0' * 64}")
    assert all(answer.startswith("-WRONGPASS") for answer in wrong.splitlines())
    with redis.Redis.from_url(engines.valkey.url) as client:
        assert client.get("kept") == b"1"


def test_the_password_of_valkey_is_in_files_of_the_owner_alone(engines: Engines, held: DataFolder):
    process = psutil.Process(engines.valkey.process.pid)
    assert engines.valkey.password not in "".join((*process.cmdline(), *process.environ().values()))
    assert len(engines.valkey.password) >= 32
    assert engines.valkey.password not in repr(engines.valkey)
    file = held.path / "valkey.password"
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, os.geteuid())
    if held.account.switch:
        assert run_as(held.account, READ, file) == ""


def test_every_run_on_a_folder_has_the_same_password_and_every_folder_its_own(
    engines: Engines, held: DataFolder, tmp_path
):
    assert valkey_in(held).url == engines.valkey.url
    other = DataFolder(tmp_path / "other", held.account).hold()
    assert valkey_in(other).password != engines.valkey.password
    other.release()


def test_a_run_publishes_a_url_that_its_owner_alone_can_read_and_that_works(lasting_run):
    eventually((lasting_run.data_dir / "connections.json").exists)
    assert (lasting_run.data_dir / "connections.json").stat().st_mode & 0o777 == 0o600
    with redis.Redis.from_url(read_connections(lasting_run.data_dir).redis_url) as client:
        assert client.ping()


def test_no_file_of_the_folder_is_open_to_others(migrated_data_dir: Path, held: DataFolder):
    for log in ("postgres.log", "valkey.log"):  # as an earlier release left them
        (held.path / log).touch()
        (held.path / log).chmod(0o644)
    engines = engines_in(held, postgres_settings=TEST_POSTGRES_SETTINGS)
    engines.start()
    try:
        with redis.Redis.from_url(engines.valkey.url) as client:
            client.set("written", "1")
    finally:
        engines.stop()
    found = {path: path.lstat() for path in held.path.rglob("*")}
    assert len(found) > 500
    shared = {"pg_hba.conf", "pg_ident.conf"} if held.account.switch else set()
    least = {path: 0o640 if path.parent == held.path and path.name in shared else 0o700 for path in found}
    assert [(str(path), oct(seen.st_mode)) for path, seen in found.items() if seen.st_mode & 0o777 & ~least[path]] == []
    assert held.path.stat().st_mode & 0o066 == 0


@needs_root
def test_no_account_but_its_owner_writes_the_access_rules(engines: Engines, held: DataFolder):
    for name in ("pg_hba.conf", "pg_ident.conf"):
        assert (held.path / name).stat().st_uid == 0
    assert "peer" in run_as(held.account, READ, held.path / "pg_hba.conf")


@needs_root
def test_the_account_of_api_and_workers_logs_in_as_the_role_that_owns_nothing(
    migrated_data_dir: Path, held: DataFolder
):
    entry = next(entry for entry in pwd.getpwall() if entry.pw_name in NAMES)
    held.services = Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    held.path.chmod(0o711)
    engines = engines_in(held, postgres_settings=TEST_POSTGRES_SETTINGS)
    engines.start()
    try:
        roles = ("breakwater_service", "breakwater", "breakwater_tenant", "postgres")
        logged_in = run_as(held.services, LOG_IN, engines.postgres.sockets / ".s.PGSQL.5432", *roles)
    finally:
        engines.stop()
    assert logged_in.splitlines() == ["breakwater_service is in", *(f"{role} is refused" for role in roles[1:])]


def test_api_and_workers_of_a_run_are_connected_as_the_role_that_owns_nothing(lasting_run):
    eventually((lasting_run.data_dir / "connections.json").exists)
    url = read_connections(lasting_run.data_dir).database_url

    async def look() -> list[tuple[str, bool]]:
        async with database_connections(url) as (owner,):
            return [
                tuple(row)
                for row in await owner.fetch(
                    """
                    SELECT DISTINCT a.usename, r.rolsuper
                    FROM pg_stat_activity AS a
                    JOIN pg_roles AS r ON r.rolname = a.usename
                    WHERE a.application_name ~ '^(breakwater|worker)'
                    """
                )
            ]

    assert eventually(lambda: asyncio.run(look())) == [("breakwater_service", False)]


def start_as_earlier_releases(valkey: Valkey) -> "subprocess.Popen[bytes]":
    """Start a server as the releases without a password did: it has the lock of the folder, and its log is open."""
    options = {"port": "0", "unixsocket": valkey.socket, "dir": valkey.data, "pidfile": valkey.data / "valkey.pid"}
    given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    lock = os.open(valkey.data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        return subprocess.Popen(
            [str(valkey.server), *given, "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL,
            pass_fds=(lock,),
            **valkey.account.popen_arguments(),
        )
    finally:
        os.close(lock)


def answers(client: redis.Redis) -> bool:
    with suppress(redis.ConnectionError):  # there is no server yet, or it is still loading
        return bool(client.ping())
    return False


def test_a_valkey_without_a_password_that_still_runs_is_ended_and_its_data_go_on(held: DataFolder):
    valkey = valkey_in(held)
    valkey.create()
    with start_as_earlier_releases(valkey) as earlier:
        with redis.Redis.from_url(f"unix://{valkey.socket}") as client:
            eventually(lambda: answers(client))
            client.set("kept", "1")
        assert not valkey.is_ready()  # it is another server: it doesn't know the password
        reaper = OrphanReaper(held.path)
        earlier.wait(30)
    try:
        valkey.start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("kept") == b"1"
        assert run_as(held.account, SEND, valkey.socket, "PING").startswith("-NOAUTH")
    finally:
        valkey.stop()
        reaper.dismiss()
    assert not is_alive(earlier.pid)
