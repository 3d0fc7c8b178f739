"""`breakwater submit`: what it prints, its exit codes, and that a job is made once however the run is cut."""

import json
from collections.abc import Callable

from tests.cli.command_line import CommandLine
from tests.support.deaf_proxy import deaf_proxy
from tests.support.service import Client, Process, unique


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


async def test_a_spec_is_accepted_and_shown(breakwater: CommandLine, spec: Callable, client: Client) -> None:
    body = unique()
    ended = breakwater("submit", spec(body))
    assert ended.returncode == 0, ended.stderr
    [job] = await client.jobs(body["name"])
    assert f"created {job['id']}" in ended.stdout
    assert "cells: " in ended.stdout
    assert breakwater.kept_keys == []


async def test_several_files_and_stdin_as_json_lines(breakwater: CommandLine, spec: Callable, client: Client) -> None:
    first, second = unique(), unique()
    ended = breakwater("submit", spec(first, "1.json"), spec(second, "2.json"), "--json")
    answers = lines(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    assert [answer["file"].rpartition("/")[2] for answer in answers] == ["1.json", "2.json"]
    assert {answer["outcome"] for answer in answers} == {"created"}
    for body, answer in zip((first, second), answers, strict=True):
        assert [job["id"] for job in await client.jobs(body["name"])] == [answer["job"]["id"]]


async def test_a_dry_run_makes_no_job(breakwater: CommandLine, spec: Callable, client: Client) -> None:
    body = unique()
    ended = breakwater("submit", spec(body), "--dry-run", "--json")
    assert (ended.returncode, [answer["outcome"] for answer in lines(ended.stdout)]) == (0, ["planned"])
    assert await client.jobs(body["name"]) == []
    assert breakwater.kept_keys == []


async def test_a_refused_spec_names_each_place_and_keeps_no_other_from_being_sent(
    breakwater: CommandLine, spec: Callable, client: Client
) -> None:
    body = unique()
    ended = breakwater("submit", spec({"models": ["m"], "qestions": ["q"]}, "bad.json"), spec(body), "--json")
    problem, accepted = lines(ended.stdout)
    assert ended.returncode == 2
    assert (problem["status"], accepted["outcome"]) == (422, "created")
    assert "bad.json: " in ended.stderr
    assert f"{problem['title']} (422 {problem['code']})" in ended.stderr
    for reason in problem["errors"]:
        assert f"{reason['pointer'] or 'the body'}: {reason['detail']} ({reason['code']})" in ended.stderr
    assert "nearest: questions" in ended.stderr
    assert len(await client.jobs(body["name"])) == 1
    assert breakwater.kept_keys == []


def test_a_file_that_cannot_be_read_is_wrong_use_and_nothing_is_sent(
    breakwater: CommandLine, spec: Callable, service: Process
) -> None:
    for wrong in ("/nonexistent.json", "-"):
        ended = breakwater("submit", spec(unique()), wrong, "-")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.count("\n") == 1


def test_a_key_of_ones_own_is_used_and_names_one_submission(breakwater: CommandLine, spec: Callable) -> None:
    body = unique(on_duplicate="create")
    first, second = (breakwater("submit", spec(body), "--key", "k-1", "--json") for _ in range(2))
    assert lines(first.stdout) == lines(second.stdout)
    for wrong in (("--key", 'a"b'), ("--key", "k", spec(unique(), "2.json"))):
        assert breakwater("submit", spec(body), *wrong).returncode == 2


async def test_a_run_that_is_killed_before_the_answer_is_taken_up_by_the_next(
    at: Callable[..., CommandLine], spec: Callable, service: Process, client: Client
) -> None:
    body = unique(on_duplicate="create")
    file = spec(body)
    with deaf_proxy(service.url) as proxy:
        command_line = at(proxy.url)
        proxy.is_deaf = True
        run = command_line.start("submit", file)
        assert proxy.lost.wait(20)
        run.kill()
        [job] = await client.jobs(body["name"])
        assert len(command_line.kept_keys) == 1
        proxy.is_deaf = False
        again = command_line("submit", file)
        assert again.returncode == 0, again.stderr
        assert f"created {job['id']}" in again.stdout
        assert "the first answer again" in again.stdout
        assert len(await client.jobs(body["name"])) == 1
        assert command_line.kept_keys == []
        assert "the first answer again" not in command_line("submit", file).stdout  # that is another run
        assert len(await client.jobs(body["name"])) == 2


async def test_a_run_of_several_files_that_is_cut_is_taken_up_as_a_whole(
    at: Callable[..., CommandLine], spec: Callable, service: Process, client: Client
) -> None:
    bodies = [unique(on_duplicate="create") for _ in range(3)]
    files = [spec(body, f"{number}.json") for number, body in enumerate(bodies)]
    with deaf_proxy(service.url) as proxy:
        command_line = at(proxy.url)
        proxy.deaf_from = bodies[1]["name"].encode()
        run = command_line.start("submit", *files)
        assert proxy.lost.wait(20)
        run.kill()
        assert "0.json: created" in run.output.read_text()
        proxy.is_deaf, proxy.deaf_from = False, None
        again = command_line("submit", *files)
    assert (again.returncode, again.stdout.count("created")) == (0, 3)
    assert [len(await client.jobs(body["name"])) for body in bodies] == [1, 1, 1]
    assert command_line.kept_keys == []


async def test_a_lost_answer_is_asked_for_again_within_the_run(
    at: Callable[..., CommandLine], spec: Callable, service: Process, client: Client
) -> None:
    body = unique(on_duplicate="create")
    with deaf_proxy(service.url) as proxy:
        proxy.is_deaf = proxy.cuts = True
        run = at(proxy.url).start("submit", spec(body), "--json")
        assert proxy.lost.wait(20)
        proxy.is_deaf = False
        ended = run.end()
    assert (ended.returncode, len(lines(ended.stdout))) == (0, 1)
    assert "Trying again" in ended.stderr
    assert len(await client.jobs(body["name"])) == 1


async def test_a_run_that_gives_up_keeps_its_key_for_the_next(
    at: Callable[..., CommandLine], spec: Callable, service: Process, client: Client
) -> None:
    body = unique(on_duplicate="create")
    file = spec(body)
    with deaf_proxy(service.url) as proxy:
        command_line = at(proxy.url)
        proxy.is_deaf = proxy.cuts = True
        ended = command_line("submit", file, spec(unique(), "never.json"), "--retry-for", "0")
        assert ended.returncode == 3
        assert "it isn't known whether it was accepted" in ended.stderr
        assert "Not submitted: " in ended.stderr
        assert len(command_line.kept_keys) == 1
        proxy.is_deaf = False
        assert command_line("submit", file).returncode == 0
    assert len(await client.jobs(body["name"])) == 1


async def test_two_runs_at_the_same_time_are_two_submissions(
    at: Callable[..., CommandLine], spec: Callable, service: Process, client: Client
) -> None:
    body = unique(on_duplicate="create")
    file = spec(body)
    with deaf_proxy(service.url) as proxy:
        command_line = at(proxy.url)
        proxy.is_deaf = True
        waiting = command_line.start("submit", file)
        assert proxy.lost.wait(20)
        proxy.is_deaf = False
        assert "the first answer again" not in command_line("submit", file).stdout
        waiting.kill()
    assert len(await client.jobs(body["name"])) == 2


async def test_a_folder_that_cannot_be_written_is_said_and_costs_only_the_taking_up(
    at: Callable[..., CommandLine], spec: Callable, service: Process, tmp_path
) -> None:
    (tmp_path / "file").write_text("")
    ended = at(service.url, XDG_STATE_HOME=str(tmp_path / "file"))("submit", spec(unique()))
    assert ended.returncode == 0
    assert "can't be written" in ended.stderr
