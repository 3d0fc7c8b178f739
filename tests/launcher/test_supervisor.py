import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.launcher.runs import PROJECT, is_alive
from tests.support.service import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)
on_migrated_data = pytest.mark.usefixtures("migrated_data_dir")
CHILDREN = ("worker-1", "api", "postgres", "valkey")


def descendants(run):
    return [child.pid for child in psutil.Process(run.process.pid).children(recursive=True)]


def test_each_killed_process_is_there_again_within_a_second(lasting_run):
    for name in CHILDREN:
        first = lasting_run.wait_for(name)
        os.kill(first, signal.SIGKILL)
        killed_at = time.monotonic()
        eventually(
            lambda name=name, first=first: lasting_run.pid_of(name) not in {None, first},
            what=lasting_run.output.read_text(),
        )
        assert time.monotonic() - killed_at < 1, name


@on_migrated_data
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_worker_api_and_engines_and_leaves_nothing(start_run, number):
    run = start_run()
    run.wait_for("worker-1")
    processes = descendants(run)
    run.process.send_signal(number)
    assert run.stop(number) == 0
    assert not run.events("process_killed")
    assert not [pid for pid in processes if is_alive(pid)]
    assert len(run.events("service_stopped")) == 1


@on_migrated_data
def test_processes_of_a_killed_run_are_ended_and_the_next_run_starts_on_the_same_data(start_run):
    first = start_run()
    first.wait_for("worker-1")
    processes = descendants(first)
    first.kill()
    second = start_run(PORT=str(first.port))
    second.wait_for("worker-1")
    assert not [pid for pid in processes if is_alive(pid)]
    assert second.stop() == 0


@on_migrated_data
def test_a_run_and_its_reaper_killed_together_are_cleaned_up_by_the_next_start(start_run):
    first = start_run()
    first.wait_for("worker-1")
    processes = descendants(first)
    reaper = next(pid for pid in processes if "launcher.orphan_reaper" in psutil.Process(pid).cmdline())
    os.kill(reaper, signal.SIGKILL)
    services = [first.pid_of(name) for name in ("api", "worker-1")]
    first.kill()
    eventually(lambda: not any(map(is_alive, services)), what="the services ended without anybody's help")
    second = start_run(PORT=str(first.port))
    second.wait_for("worker-1")
    assert not [pid for pid in processes if is_alive(pid)]


@on_migrated_data
def test_the_reaper_of_a_killed_run_ends_everything_by_itself(start_run):
    run = start_run()
    run.wait_for("worker-1")
    processes = descendants(run)
    run.kill()
    eventually(lambda: not [pid for pid in processes if is_alive(pid)], seconds=30)


@on_migrated_data
@pytest.mark.parametrize("name", ["valkey", "postgres", "api", "worker-1"])
def test_a_run_that_is_killed_as_soon_as_it_logs_a_start_leaves_nothing(start_run, data_dir, name):
    run = start_run()
    eventually(lambda: run.events("process_started", name=name), seconds=60)
    run.kill()
    eventually(lambda: not processes_on(data_dir), seconds=30, what="every process on the folder has ended")


def processes_on(folder):
    """Find every process that was started with this folder, by its arguments or its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(folder) in "\n".join((*process.cmdline(), *process.environ().values())):
                found.append((process.pid, process.cmdline()))
    return found


def test_a_second_run_on_the_same_folder_names_the_settings_to_change(lasting_run, start_run):
    second = start_run(DATA_DIR=str(lasting_run.data_dir))
    assert second.process.wait(30) == 1
    said = second.output.read_text()
    assert "BREAKWATER_DATA_DIR" in said
    assert "BREAKWATER_PORT" in said
    assert "Traceback" not in said


def test_two_runs_at_once_on_two_folders(start_run, data_dir):
    runs = [start_run(DATA_DIR=str(data_dir.with_name(name))) for name in ("one", "two")]
    for run in runs:
        run.wait_for("worker-1")


def test_a_taken_port_is_named(start_run):
    port = free_port()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        run = start_run(PORT=str(port))
        assert run.process.wait(30) == 1
    assert f"Port {port}" in run.output.read_text()
    assert "BREAKWATER_PORT" in run.output.read_text()


def test_a_worker_in_another_terminal_joins_the_running_engines(lasting_run):
    joining = subprocess.Popen(
        [sys.executable, "-m", "cli", "worker"],
        cwd=PROJECT,
        env={**os.environ, "BREAKWATER_DATA_DIR": str(lasting_run.data_dir)},
        stdout=subprocess.PIPE,
    )
    with joining:
        assert any(json.loads(line)["event"] == "worker_started" for line in joining.stdout)
        joining.terminate()
        joining.communicate()
    assert joining.returncode == 0
