"""`breakwater watch` and `submit --watch`: the picture on a real terminal, lines elsewhere, JSON for programs."""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.remote.states import STATE_BY_LETTER, TENTHS, share
from domain.key_limits import KeyLimits
from tests.cli.command_line import CommandLine
from tests.support.access import make_key
from tests.support.connections import database_connections
from tests.support.deaf_proxy import deaf_proxy
from tests.support.description import api_description
from tests.support.documentation import ROOT
from tests.support.jobs import job_body
from tests.support.service import StartProcess
from tests.support.terminal import Terminal, open_terminal
from tests.support.waiting import eventually

IMPORT = ROOT / "examples" / "import"


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def stores(database_url: str, redis_url: str) -> tuple[str, str]:
    return database_url, redis_url


@pytest.fixture
def breakwater(at: Callable[..., CommandLine], start_api: StartProcess, stores: tuple[str, str]) -> CommandLine:
    """The command at an API without a worker."""
    return at(start_api(*stores).url)


@pytest.fixture
def begin_work(start_worker: StartProcess, stores: tuple[str, str]) -> Callable[..., object]:
    """Start a worker; settings are named as in the environment."""
    return lambda **settings: start_worker(*stores, **settings)


@pytest.fixture
def terminal(breakwater: CommandLine, tmp_path: Path) -> Iterator[Terminal]:
    with open_terminal(tmp_path, breakwater.environment) as terminal:
        yield terminal


def test_18_cells_are_drawn_one_by_one(terminal: Terminal, spec: Callable, begin_work: Callable) -> None:
    terminal.run("submit", spec(job_body(models=3, regions=2, questions=3)), "--watch")
    waiting = terminal.shows("0/18 cells", "· 18 planned", "waits for a worker at place 1", "eu-west")
    assert re.search(r"^model-1 +··· +···$", waiting, re.MULTILINE)
    begin_work()
    ended = terminal.shows("18/18 cells", "100 %", "✓ 18 completed", "ended with 0")
    assert "simulated: echo answers in place of providers" in ended
    assert [line.split() for line in ended.splitlines() if line.startswith("model-")] == [
        [f"model-{number}", "✓✓✓", "✓✓✓"] for number in range(3)
    ]


def test_3000_cells_are_drawn_by_model_and_region(terminal: Terminal, spec: Callable, begin_work: Callable) -> None:
    terminal.run("submit", spec(job_body(models=10, regions=3, questions=100)), "--watch")
    waiting = terminal.shows("0/3,000 cells", "· 3,000 planned", "Ten signs stand for all questions")
    assert re.search(r"^model-9( +·{10} 0/100){3} *$", waiting, re.MULTILINE)
    begin_work()
    ended = terminal.shows("3,000/3,000 cells", "✓ 3,000 completed", "ended with 0", seconds=60)
    assert re.search(r"^model-9( +✓{10} 100/100){3} *$", ended, re.MULTILINE)


def test_what_does_not_fit_is_said(breakwater: CommandLine, spec: Callable, tmp_path: Path) -> None:
    with open_terminal(tmp_path, breakwater.environment, columns=40, lines=16) as terminal:
        terminal.run("submit", spec(job_body(models=20, regions=3, questions=100)), "--watch")
        screen = terminal.shows("Ten signs stand for all questions", "Don't fit: ")
    shown = len(re.findall(r"^model-\d+ +··········  ··········$", screen, re.MULTILINE))
    assert shown >= 3
    assert f"Don't fit: {20 - shown} models, 1 regions more." in screen


def test_a_failed_cell_has_another_sign_and_the_command_fails(
    terminal: Terminal, spec: Callable, begin_work: Callable
) -> None:
    begin_work(echo_failure_rate=1)
    terminal.run("submit", spec(job_body(questions=3, policy={"max_attempts": 1})), "--watch")
    ended = terminal.shows("✗ 3 failed", "success_rate_missed", "ended with 1")
    assert re.search(r"^model-0 +✗✗✗$", ended, re.MULTILINE)


def test_ctrl_c_leaves_the_job_running_and_watching_goes_on_later(
    terminal: Terminal, breakwater: CommandLine, spec: Callable, begin_work: Callable
) -> None:
    terminal.run("submit", spec(job_body(questions=4)), "--watch")
    terminal.shows("0/4 cells")
    terminal.press("C-c")
    said = terminal.shows("The job goes on", "ended with 130")
    [job] = lines(breakwater("jobs", "--json").stdout)
    assert job["status"] == "queued"
    assert f"breakwater watch {job['id']}\n" in said
    terminal.close()
    with open_terminal(breakwater.home, breakwater.environment) as another:
        another.run("watch", job["id"])
        another.shows("0/4 cells")
        begin_work()
        another.shows("4/4 cells", "ended with 0")


def test_a_watcher_that_is_killed_harms_no_job(breakwater: CommandLine, spec: Callable, begin_work: Callable) -> None:
    watcher = breakwater.start("submit", spec(job_body(questions=4)), "--watch")
    eventually(lambda: "0/4 cells" in watcher.output.read_text(), seconds=20)
    watcher.kill()
    [job] = lines(breakwater("jobs", "--json").stdout)
    begin_work()
    ended = breakwater("watch", job["id"])
    assert (ended.returncode, ended.stdout.splitlines()[-1].split()[1:4]) == (0, ["completed", "4/4", "cells"])


def test_a_run_that_is_killed_while_it_watches_goes_on_with_the_same_job(
    breakwater: CommandLine, spec: Callable, begin_work: Callable
) -> None:
    run = ("submit", spec(job_body(on_duplicate="create")), "--watch")

    def cut(number: signal.Signals) -> str:
        watcher = breakwater.start(*run)
        eventually(lambda: "0/1 cells" in watcher.output.read_text(), seconds=20)
        os.kill(watcher.pid, number)
        return watcher.end().stdout

    assert "the first answer again" not in cut(signal.SIGKILL)
    assert "the first answer again" in cut(signal.SIGTERM)
    assert "the first answer again" in cut(signal.SIGINT)
    begin_work()
    assert "the first answer again" not in breakwater(*run).stdout, "a person ended the run before"
    assert len(lines(breakwater("jobs", "--json").stdout)) == 2


def test_a_run_whose_terminal_is_closed_goes_on_with_the_same_job(
    terminal: Terminal, breakwater: CommandLine, spec: Callable, begin_work: Callable
) -> None:
    run = ("submit", spec(job_body(on_duplicate="create")), "--watch")
    terminal.run(*run)
    terminal.shows("0/1 cells")
    terminal.close()
    begin_work()
    # A run that still holds the key makes the next one a submission of its own.
    eventually(lambda: breakwater.unlocked_keys, seconds=20)
    assert "the first answer again" in breakwater(*run).stdout
    assert len(lines(breakwater("jobs", "--json").stdout)) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_command_to_go_on(
    breakwater: CommandLine, at: Callable, spec: Callable, number: signal.Signals, code: int
) -> None:
    elsewhere = at("http://127.0.0.1:1")
    watcher = elsewhere.start("submit", spec(job_body()), "--watch", "--url", breakwater.url)
    eventually(lambda: "0/1 cells" in watcher.output.read_text(), seconds=20)
    os.kill(watcher.pid, number)
    ended = watcher.end()
    assert ended.returncode == code
    assert f" --url {breakwater.url}\n" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_terminal_there_is_a_line_per_change_and_no_control_character(
    breakwater: CommandLine, spec: Callable, begin_work: Callable
) -> None:
    watcher = breakwater.start("submit", spec(job_body(questions=5)), "--watch")
    eventually(lambda: "queued" in watcher.output.read_text(), seconds=20)
    begin_work()
    ended = watcher.end()
    assert ended.returncode == 0, ended.stderr
    assert [line for line in ended.stdout.splitlines() if not line.isprintable()] == []
    statuses = [line.split()[1] for line in ended.stdout.splitlines() if " cells  " in line]
    assert (statuses[0], statuses[-1]) == ("queued", "completed")


def test_json_has_each_event_once_over_a_restart_of_the_api_and_the_job_last(
    at: Callable, start_api: StartProcess, begin_work: Callable, stores: tuple[str, str], spec: Callable
) -> None:
    first = start_api(*stores)
    with deaf_proxy(first.url) as proxy:
        body = job_body(questions=100)
        watcher = at(proxy.url).start("submit", spec(body), "--watch", "--json")
        eventually(lambda: '"outcome"' in watcher.output.read_text(), seconds=20)
        begin_work(echo_delay_seconds=0.2, worker_concurrency=10)
        eventually(lambda: '"progressed"' in watcher.output.read_text(), seconds=20)
        first.stop()
        proxy.pass_to(start_api(*stores).url)
        ended = watcher.end()
    submission, *events, job = lines(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    assert (submission["outcome"], job["status"], job["progress"]["completed"]) == ("created", "completed", 100)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert "coordinated" in [event["type"] for event in events]
    assert events[-1]["type"] == "finished"
    assert {event["job_id"] for event in events} == {job["id"]}


def test_a_service_that_stays_away_is_exit_code_3(
    at: Callable, breakwater: CommandLine, spec: Callable, start_api: StartProcess, stores: tuple[str, str]
) -> None:
    second = start_api(*stores)
    [answer] = lines(breakwater("submit", spec(job_body()), "--json").stdout)
    watcher = at(second.url).start("watch", answer["job"]["id"], "--retry-for", "1")
    eventually(lambda: "0/1 cells" in watcher.output.read_text(), seconds=20)
    second.kill()
    ended = watcher.end()
    assert ended.returncode == 3
    assert second.url in ended.stderr


async def test_a_key_with_few_requests_a_second_is_enough_to_watch(
    at: Callable, start_api: StartProcess, stores: tuple[str, str], begin_work: Callable, spec: Callable
) -> None:
    async with database_connections(stores[0]) as (connection,):
        key = await make_key(connection, limits=KeyLimits(requests_per_second=1))
    begin_work()
    ended = at(start_api(*stores, auth="keys").url, key=key)("submit", spec(job_body(questions=4)), "--watch", "--json")
    assert ended.returncode == 0, ended.stderr
    assert lines_of_json(ended.stdout)[-1]["progress"]["completed"] == 4


def test_what_a_person_wrote_breaks_no_line_of_json_and_no_terminal(breakwater: CommandLine, spec: Callable) -> None:
    [answer] = lines(breakwater("submit", spec(job_body()), "--json").stdout)
    reason = "line\u2028separator\u0085next\nand \u202eback"
    assert breakwater("cancel", answer["job"]["id"], "--reason", reason).returncode == 0
    ended = breakwater("watch", answer["job"]["id"], "--json")
    [*events, job] = lines_of_json(ended.stdout)
    assert ended.returncode == 1
    assert [event["data"]["reason"] for event in events if event["type"] == "cancelled"] == [reason]
    assert job["status"] == "cancelled"


def lines_of_json(text: str) -> list[dict]:
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize(
    "arguments", [("submit", "FILE", "--watch", "--dry-run"), ("watch",), ("watch", "no-such-job")]
)
def test_wrong_use_is_exit_code_2(breakwater: CommandLine, spec: Callable, arguments: tuple[str, ...]) -> None:
    file = spec(job_body())
    assert breakwater(*(file if each == "FILE" else each for each in arguments)).returncode == 2


def test_an_import_is_drawn_by_record_types_and_waves(
    at: Callable, start_api: StartProcess, start_worker: StartProcess, unconfigured_database_url: str, redis_url: str
) -> None:
    stores = (unconfigured_database_url, redis_url)
    command_line = at(start_api(*stores, config=IMPORT / "breakwater.toml").url)
    start_worker(*stores)
    with open_terminal(command_line.home, command_line.environment, columns=120) as terminal:
        terminal.run("submit", str(IMPORT / "shop.json"), "--watch")
        ended = terminal.shows("100 %", "rejected", "✓ completed", "ended with 0")
    assert re.search(r"^customer +0 +\d+ +\d+ ", ended, re.MULTILINE)
    assert re.search(r"^2 +1 +✓ completed +1/1", ended, re.MULTILINE)


@given(st.dictionaries(st.sampled_from(sorted(STATE_BY_LETTER)), st.integers(0, 40_000)))
def test_ten_signs_are_shared_out_and_no_state_is_left_out(numbers: dict[str, int]) -> None:
    signs = share(numbers)
    present = {letter for letter, number in numbers.items() if number}
    assert set(signs) == present
    assert sum(signs.values()) == (TENTHS if present else 0)
    assert all(number >= 1 for number in signs.values())
    for more in present:
        for less in present:
            assert signs[more] >= signs[less] or numbers[more] <= numbers[less]


def test_every_letter_of_the_grid_has_a_sign_of_its_own() -> None:
    described = api_description()["components"]["schemas"]["GridRow"]["properties"]["states"]["description"]
    assert set(re.findall(r"`(\w)`", described)) == set(STATE_BY_LETTER)
    for kind in ("sign", "plain"):
        assert max(Counter(getattr(state, kind) for state in STATE_BY_LETTER.values()).values()) == 1
