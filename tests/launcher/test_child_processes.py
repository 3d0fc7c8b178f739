import json
import signal
import subprocess
import sys

from structlog.testing import capture_logs

from launcher.child_processes import FREE_RESTARTS, LONGEST_PAUSE_SECONDS, Child
from launcher.processes import end_process, is_running, start_time
from launcher.stale_processes import end_stale_processes
from launcher.supervisor import Supervisor
from runtime.settings import load_settings
from tests.support.waiting import eventually


def spawn(code):
    return lambda: subprocess.Popen([sys.executable, "-S", "-c", code])


def nothing():
    pass


def test_a_process_that_dies_at_once_again_and_again_is_started_with_growing_pauses(capsys):
    child = Child("worker-1", spawn("raise SystemExit(3)"), nothing)
    pauses = []
    while len(pauses) <= FREE_RESTARTS + 2:
        pauses.append(eventually(lambda: child.keep_alive() or child.due_at))
        child.due_at = 0  # no need to sit through the pause
    assert child.early_deaths == FREE_RESTARTS + 3
    assert "process_crash_loop" in capsys.readouterr().out
    child.early_deaths = 1000
    child._plan_restart()
    assert child.due_at - child.started_at <= LONGEST_PAUSE_SECONDS + 2


def test_an_ended_process_is_not_started_again():
    child = Child("worker-1", spawn("import signal; signal.pause()"), nothing)
    child.keep_alive()
    child.end(signal.SIGTERM)
    eventually(child.has_ended)
    child.keep_alive()
    assert child.process is None or child.process.poll() is not None


def test_a_start_is_recorded_before_it_is_logged():
    """Who reads the log may kill the run at once; what isn't recorded by then would outlive it."""
    recorded = []
    with capture_logs() as logs:
        child = Child("worker-1", spawn(""), lambda: recorded.append((child.pid, len(logs))))
        child.keep_alive()
    assert child.process is not None
    child.process.wait()
    assert recorded == [(child.process.pid, 0)]
    assert [line["event"] for line in logs] == ["process_started"]


def test_a_service_is_on_record_once_it_is_started(held, monkeypatch):
    supervisor = Supervisor(load_settings(), held)
    monkeypatch.setattr(supervisor, "_spawn_service", lambda *_: spawn("import signal; signal.pause()")())
    supervisor.services = [supervisor._service("api", "api")]
    supervisor.services[0].keep_alive()
    recorded = json.loads((held.path / "children.json").read_text())
    assert [(name, pid) for name, pid, _ in recorded] == [("api", supervisor.services[0].pid)]
    end_stale_processes(held.path)
    eventually(lambda: supervisor.services[0].process.poll() is not None)


def test_its_start_distinguishes_a_process_from_its_successor():
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        started = start_time(process.pid)
        assert is_running(process.pid, started)
        assert not is_running(process.pid, f"{started}0")
        end_process(process.pid, "another", signals=(signal.SIGTERM,), seconds=1)
        assert process.poll() is None
        end_process(process.pid, started, signals=(signal.SIGTERM,), seconds=5)
    assert process.returncode == -signal.SIGTERM


def test_logs_are_json_lines_with_constant_events():
    code = (
        "import logging, structlog\n"
        "from runtime.logs import configure_logs\n"
        "configure_logs('info', process='api')\n"
        "structlog.get_logger().info('job_accepted', job='j')\n"
        "structlog.get_logger().debug('too_fine')\n"
        "logging.getLogger('uvicorn.error').info('Started %s', 3)\n"
        "logging.getLogger('uvicorn.access').info('GET /')\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, second = (json.loads(line) for line in said.splitlines())
    assert (first["event"], first["job"], first["process"], first["level"]) == ("job_accepted", "j", "api", "info")
    assert (second["event"], second["logger"], second["message"]) == ("library_message", "uvicorn.error", "Started 3")


def test_logs_show_no_secret():
    code = (
        "import logging, structlog\n"
        "from runtime.logs import configure_logs\n"
        "configure_logs('info', process='api')\n"
        "structlog.get_logger().info('called', url='https://u:hush@h/?token=hush', deep={'password': 'hush'})\n"
        "logging.getLogger('library').warning('sent Bearer %s', 'hush0123.hush0123')\n"
        "try:\n"
        "    raise ValueError('sk-proj-hush0123456789')\n"
        "except ValueError:\n"
        "    structlog.get_logger().exception('failed')\n"
        "    logging.getLogger('library').exception('failed')\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == ["called", "library_message", "failed", "library_message"]
    assert lines[0]["url"] == "https://u:[redacted]@h/?token=[redacted]"
    assert all("ValueError: [redacted]" in line["exception"] for line in lines[2:])
    assert "hush0" not in said
