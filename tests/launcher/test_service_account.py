"""API and workers of a run that root started run under another account, or say why they don't."""

import os
import pwd
import sys
import sysconfig
from pathlib import Path

import httpx2
import psutil
import pytest

from launcher.accounts import UNPRIVILEGED, Account, caller
from launcher.service_account import NAMES, choose_service_account, give_staging
from runtime.settings import load_settings
from tests.launcher.runs import Run, readable_python
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="changes accounts"),
]
SERVICE = next(entry for entry in pwd.getpwall() if entry.pw_name in NAMES)
IMPORT = {
    "kind": "import",
    "name": "shop",
    "dataset": "shop",
    "record_types": [{"id": "customer", "key": ["id"], "source": {"type": "file", "path": "customer.csv"}}],
}
SPEC = {"name": "capitals", "models": ["m"], "regions": ["us-east"], "questions": ["Paris?"]}


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch, folder_for_all: Path) -> str:
    """A Python that the account of the services can run; it has our libraries."""
    given = os.pathsep.join(filter(None, (sysconfig.get_path("purelib"), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", given)
    return readable_python(SERVICE, folder_for_all)


@pytest.fixture
def config(data_dir: Path) -> Path:
    """A configuration and an import root beside the data folder, which all can read."""
    root = data_dir.parent / "root"
    root.mkdir()
    (root / "customer.csv").write_text("id,name\n1,Ada\n2,Bo\n")
    path = data_dir.parent / "breakwater.toml"
    path.write_text('[imports]\nroot = "root"\n')
    return path


def completed(run: Run, body: object) -> dict[str, object]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=30) as http:
        answered = http.post("/jobs", json=body)
        assert answered.status_code == 202, answered.text
        at = answered.json()["job"]["links"]["self"]

        def look() -> object:
            job = http.get(at).json()
            return job if job["finished_at"] else None

        return eventually(look, seconds=60, what=run.output.read_text()[-2000:])  # type: ignore[return-value]


def ready(run: Run) -> None:
    eventually(lambda: run.events("service_ready"), seconds=90, what=run.output.read_text()[-2000:])


def test_services_run_under_an_account_of_their_own_and_do_their_work(
    start_run, migrated_data_dir: Path, python: str, config: Path
) -> None:
    run = start_run(python, CONFIG=str(config))
    ready(run)
    assert not run.events("services_run_as_root")
    services = [psutil.Process(run.wait_for(name)) for name in ("api", "worker-1")]
    for process in services:
        assert set(process.uids()) == {SERVICE.pw_uid}
        assert set(process.gids()) == {SERVICE.pw_gid}
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "Groups:\t \n" in status
    engines = {psutil.Process(run.wait_for(name)).uids().real for name in ("postgres", "valkey")}
    assert engines == {pwd.getpwnam(UNPRIVILEGED).pw_uid}
    assert completed(run, SPEC)["status"] == "completed"
    assert completed(run, IMPORT)["status"] == "completed"
    staging = migrated_data_dir / "breakwater-staging"
    assert (staging.stat().st_uid, staging.stat().st_mode & 0o777) == (SERVICE.pw_uid, 0o700)
    sockets = migrated_data_dir / "sockets"
    assert (sockets.stat().st_gid, sockets.stat().st_mode & 0o777) == (SERVICE.pw_gid, 0o710)
    assert run.stop() == 0


def test_what_root_staged_before_goes_on(start_run, migrated_data_dir: Path, python: str, config: Path) -> None:
    staging = migrated_data_dir / "breakwater-staging"
    staging.mkdir(mode=0o700)
    (staging / "of-root").write_text("kept")
    run = start_run(python, CONFIG=str(config))
    ready(run)
    assert (staging / "of-root").stat().st_uid == SERVICE.pw_uid
    assert completed(run, IMPORT)["status"] == "completed"


def test_a_run_whose_code_no_other_account_can_read_says_so(start_run, migrated_data_dir: Path, python: str) -> None:
    if python == sys.executable:
        pytest.skip("every account can read this Python")
    run = start_run()
    ready(run)
    [warning] = run.events("services_run_as_root")
    assert warning["reason"] == f"The account {SERVICE.pw_name} can't run {sys.executable}."
    assert psutil.Process(run.wait_for("api")).uids().real == 0


@pytest.mark.parametrize("name", ["config", "root", "key"])
def test_root_stays_where_a_file_of_the_run_is_root_s(
    monkeypatch: pytest.MonkeyPatch, python: str, config: Path, name: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    base_urls = '[providers.x.base_urls]\nus-east = "http://127.0.0.1:9"\n'
    config.write_text(f'{config.read_text()}[providers.x]\ntype = "openai"\napi_key_env = "X_KEY"\n{base_urls}')
    key = config.parent / "key"
    key.write_text("sk-hush")
    monkeypatch.setenv("X_KEY_FILE", str(key))
    monkeypatch.setenv("BREAKWATER_CONFIG", str(config))
    assert choose_service_account(load_settings()).account.name == SERVICE.pw_name
    closed = {"config": config, "root": config.parent / "root", "key": key}[name]
    closed.chmod(0o700 if closed.is_dir() else 0o600)
    chosen = choose_service_account(load_settings())
    assert (chosen.account, chosen.reason) == (caller(), f"The account {SERVICE.pw_name} can't read {closed}.")


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [("PORT", "80", "Port 80 is below 1024."), ("REDIS_URL", "redis://h/0", "The stores aren't this run's own")],
)
def test_root_stays_where_only_root_can_do_it(
    monkeypatch: pytest.MonkeyPatch, python: str, setting: str, value: str, reason: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setenv(f"BREAKWATER_{setting}", value)
    chosen = choose_service_account(load_settings())
    assert chosen.account == caller()
    assert str(chosen.reason).startswith(reason)


def test_what_another_account_staged_is_not_taken_over(tmp_path: Path) -> None:
    staging = tmp_path / "breakwater-staging"
    give_staging(tmp_path, Account(SERVICE.pw_name, SERVICE.pw_uid, SERVICE.pw_gid, switch=True))
    (staging / "planted").write_text("rows")
    give_staging(tmp_path, caller())
    assert (staging.stat().st_uid, list(staging.iterdir())) == (0, [])
