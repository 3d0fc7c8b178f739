"""Which service a command asks, with which key, and how it ends where none answers. A key is never printed."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.scopes import Scope
from tests.cli.answers import answering
from tests.cli.command_line import CommandLine
from tests.support.access import make_key
from tests.support.connections import database_connections
from tests.support.service import Process, free_port, unique

EMPTY = (200, {"Content-Type": "application/json"}, b'{"items": [], "next_cursor": null}')
BUSY = (503, {"Retry-After": "0"}, b'{"title": "Busy", "status": 503, "code": "overloaded", "detail": "Wait."}')


def test_nobody_at_the_address_is_exit_code_3(at: Callable[..., CommandLine]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = at(url)("jobs", "--retry-for", "0", "--json")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert url in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_busy_service_is_asked_again(at: Callable[..., CommandLine]) -> None:
    with answering(BUSY, BUSY, EMPTY) as server:
        ended = at(server.url)("jobs", "--json")
    assert (ended.returncode, len(server.requests)) == (0, 3)


def test_a_wait_beyond_the_bound_ends_at_once_with_the_problem(at: Callable[..., CommandLine]) -> None:
    quota = b'{"title": "Used up", "status": 429, "code": "quota_exceeded", "detail": "Tomorrow.", "limit": 5}'
    with answering((429, {"Retry-After": "3600"}, quota)) as server:
        ended = at(server.url)("jobs")
    assert (ended.returncode, len(server.requests)) == (3, 1)
    assert "quota_exceeded" in ended.stderr
    assert "limit: 5" in ended.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {}, b"<html>"), "no Breakwater"),
        ((404, {}, b"not here"), "no Breakwater"),
        ((301, {"Location": "https://elsewhere.example/"}, b""), "https://elsewhere.example/"),
        ((500, {}, b'{"title": "Failed", "status": 500, "code": "internal_error"}'), "internal_error"),
    ],
)
def test_an_answer_that_is_none_of_the_service_is_exit_code_3(at, answer, told) -> None:
    with answering(answer) as server:
        ended = at(server.url)("jobs", "--retry-for", "0")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert told in ended.stderr


def test_a_problem_of_a_hostile_service_moves_no_cursor(at: Callable[..., CommandLine]) -> None:
    problem = b'{"title": "\\u001b[2J\\u202egone", "status": 409, "code": "x\\u0007", "detail": "\\u009b31m"}'
    with answering((409, {}, problem)) as server:
        ended = at(server.url)("jobs", "--retry-for", "0")
    assert ended.returncode == 2
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(ended.stderr)


def test_names_of_a_hostile_service_move_no_cursor(at: Callable[..., CommandLine]) -> None:
    hostile = "\x1b[2J\u202e[red]\x9b31m\u2028"
    progress = dict.fromkeys(("planned", "pending", "running", "completed", "failed", "cancelled", "unknown"), 1)
    job = {"id": hostile, "kind": "inference", "name": hostile, "status": hostile, "progress": progress}
    times = {"created_at": hostile, "started_at": None, "finished_at": hostile}
    more = {"simulated": False, "incomplete": 0, "import_progress": None, "queue": None, "times_seen": 1}
    held = {"held": {"reason": hostile, "since": hostile, "detail": hostile}}
    whole = {**job, **times, **more, **held, "error": {"code": hostile, "detail": hostile}}
    listed = json.dumps({"items": [whole], "next_cursor": None}).encode()
    for arguments, answer in ((("jobs",), listed), (("job", "x"), json.dumps(whole).encode())):
        with answering((200, {}, answer)) as server:
            ended = at(server.url)(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert not {"\x1b", "\x9b", "\u202e", "\u2028"} & set(ended.stdout)
        assert "[red]" in ended.stdout


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://h", "http://", "http://u:geheim@h", "http://h?key=geheim", "http://h:x", "http://a b"],
)
def test_a_wrong_url_is_wrong_use(at: Callable[..., CommandLine], url: str) -> None:
    for ended in (at(url)("jobs"), at("http://127.0.0.1:1")("jobs", "--url", url)):
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert "geheim" not in ended.stderr


@pytest.mark.parametrize("key", ["bw_geheim\nX-Other: 1", "bw_geheim ü", "geheim\tgeheim"])
def test_a_malformed_key_is_wrong_use_and_is_not_shown(at: Callable[..., CommandLine], key: str) -> None:
    ended = at("http://127.0.0.1:1", key=key)("jobs")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "BREAKWATER_API_KEY" in ended.stderr
    assert "geheim" not in ended.stderr


@pytest.fixture
async def reader(database_url: str) -> str:
    """A key that may read jobs."""
    async with database_connections(database_url) as (connection,):
        return await make_key(connection, Scope.JOBS_READ)


@pytest.fixture
def guarded(start_api: Callable[..., Process], database_url: str, redis_url: str) -> str:
    """The URL of an API that asks for keys."""
    return start_api(database_url, redis_url, auth="keys").url


def test_a_key_opens_what_its_scopes_allow_and_is_never_printed(
    at: Callable[..., CommandLine], guarded: str, reader: str, spec: Callable, tmp_path: Path
) -> None:
    url = guarded
    (tmp_path / "key").write_text(f"{reader}\n")
    read = at(url, BREAKWATER_API_KEY_FILE=str(tmp_path / "key"))("jobs")
    forbidden = at(url, key=reader)("submit", spec(unique()))
    unknown = at(url, key="bw_geheim")("jobs")
    missing = at(url)("jobs")
    assert [ended.returncode for ended in (read, forbidden, unknown, missing)] == [0, 2, 2, 2]
    assert "scope: jobs:write" in forbidden.stderr
    for ended in (unknown, missing):
        assert "BREAKWATER_API_KEY" in ended.stderr
    secret = reader.rpartition("_")[2]
    for ended in (read, forbidden, unknown, missing):
        assert secret not in ended.stdout + ended.stderr
        assert "geheim" not in ended.stdout + ended.stderr


def test_a_server_that_says_nothing_of_http_is_exit_code_3_without_the_key(at: Callable[..., CommandLine]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    request = client.recv(65_536)
                    client.sendall(b"geheim? " + request)

        threading.Thread(target=answer, daemon=True).start()
        ended = at(f"http://127.0.0.1:{server.getsockname()[1]}", key="bw_geheim")("jobs", "--retry-for", "0")
    assert ended.returncode == 3
    assert "bw_geheim" not in ended.stderr


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(at: Callable[..., CommandLine]) -> None:
    with answering(EMPTY) as server:
        ended = at(server.url, HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")("jobs", "--json")
    assert (ended.returncode, len(server.requests)) == (0, 1)
