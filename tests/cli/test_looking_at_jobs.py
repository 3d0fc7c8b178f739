"""`breakwater jobs`, `job`, `executions`, `cancel`, `retry` and `dead`, against a service that works."""

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.cli.command_line import CommandLine
from tests.support.description import api_description
from tests.support.jobs import job_body
from tests.support.programs import require_program
from tests.support.service import Process
from tests.support.waiting import eventually


@pytest.fixture
def breakwater(at: Callable[..., CommandLine], working_service: Process) -> CommandLine:
    return at(working_service.url)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def submitted(breakwater: CommandLine, spec: Callable, **members: object) -> str:
    """The id of a new job."""
    [answer] = lines(breakwater("submit", spec(job_body(**members)), "--json").stdout)
    return answer["job"]["id"]


def ended(breakwater: CommandLine, job_id: str) -> dict:
    return eventually(
        lambda: [job for job in lines(breakwater("job", job_id, "--json").stdout) if job["finished_at"]], seconds=30
    )[0]


def test_a_job_its_cells_and_the_list_show_the_same(breakwater: CommandLine, spec: Callable) -> None:
    job_id = submitted(breakwater, spec, name="mine", questions=3, models=2, metadata={"team": "a=b"})
    submitted(breakwater, spec, name="another")
    job = ended(breakwater, job_id)
    shown = breakwater("job", job_id).stdout
    assert "completed (simulated" in shown
    assert "6: 6 completed" in shown
    cells = lines(breakwater("executions", job_id, "--json").stdout)
    assert len(cells) == 6
    one = breakwater("executions", job_id, "--model", "model-1", "--question", cells[0]["question_id"])
    assert "What is 0 plus 0?" in one.stdout
    assert cells[0]["id"] not in one.stdout
    for filter_ in (
        ("--name", "mine"),
        ("--name-prefix", "min"),
        ("--metadata", "team=a=b"),
        ("--spec-hash", job["spec_hash"]),
    ):
        assert [each["id"] for each in lines(breakwater("jobs", *filter_, "--json").stdout)] == [job_id]
    both = breakwater("jobs", "--status", "completed,queued,running")
    assert job_id in both.stdout
    assert "another" in both.stdout


def test_pages_are_read_up_to_the_limit(breakwater: CommandLine, spec: Callable) -> None:
    job_id = submitted(breakwater, spec, name="pages", models=2, questions=150)
    ended(breakwater, job_id)
    assert len(lines(breakwater("executions", job_id, "--limit", "1000", "--json").stdout)) == 300
    cut = breakwater("executions", job_id, "--limit", "201", "--json")
    assert len(lines(cut.stdout)) == 201
    assert "There are more than these 201" in cut.stderr
    assert "There are more" not in breakwater("executions", job_id, "--limit", "300", "--json").stderr


def test_cancel_and_retry_say_what_they_did(breakwater: CommandLine, spec: Callable) -> None:
    job_id = submitted(breakwater, spec, name="acted on")
    ended(breakwater, job_id)
    again = breakwater("cancel", job_id, "no-such-job", "--reason", "tried")
    assert again.returncode == 2
    assert f"{job_id}: completed, 0 executions ended by this" in again.stdout
    assert "no-such-job: " in again.stderr
    assert "404 not_found" in again.stderr
    retried = breakwater("retry", job_id, "--dry-run", "--json")
    assert [answer["retried"] for answer in lines(retried.stdout)] == [0]
    assert "0 run again, 1 untouched" in breakwater("retry", job_id).stdout


def test_dead_letters_are_listed_and_an_unknown_one_is_refused(breakwater: CommandLine) -> None:
    listed = breakwater("dead", "list")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "None.\n")
    assert breakwater("dead", "replay", "999999").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [("jobs", "--status", "gone"), ("jobs", "--metadata", "x"), ("jobs", "--limit", "0"), ("job",), ("no",)],
)
def test_wrong_arguments_are_exit_code_2(breakwater: CommandLine, arguments: tuple[str, ...]) -> None:
    wrong = breakwater(*arguments)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr


def test_the_list_has_an_option_for_each_of_its_parameters(breakwater: CommandLine) -> None:
    parameters = {each["name"] for each in api_description()["paths"]["/jobs"]["get"]["parameters"]}
    wanted = {f"--{name.partition('.')[0].replace('_', '-')}" for name in parameters - {"cursor"}}
    shown = breakwater("jobs", "-h").stdout
    assert {option for option in wanted if f"{option} " not in shown} == set()


def test_help_groups_the_commands_and_the_version_is_the_installed_one(breakwater: CommandLine) -> None:
    shown = breakwater("-h").stdout
    groups = ["Jobs, over the network", "The service", "Its configuration"]
    assert [shown.index(group) for group in groups] == sorted(shown.index(group) for group in groups)
    assert breakwater("--version").stdout.startswith("breakwater 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(breakwater: CommandLine, at: Callable, shell: str) -> None:
    def complete(typed: str) -> str:
        variables = {
            "_BREAKWATER_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(typed.split(" ")) - 1),
            "_TYPER_COMPLETE_ARGS": typed,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        return at(breakwater.url, **variables)().stdout

    assert "submit" in complete("breakwater sub")
    assert "--dry-run" in complete("breakwater submit --dr")


def test_bash_takes_the_script_that_the_command_prints(breakwater: CommandLine, at: Callable, tmp_path) -> None:
    bash = require_program("bash")
    script = at(breakwater.url, _BREAKWATER_COMPLETE="source_bash")().stdout
    (tmp_path / "complete").write_text(script)
    checked = subprocess.run([bash, "-n", tmp_path / "complete"], check=False, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "complete " in script
