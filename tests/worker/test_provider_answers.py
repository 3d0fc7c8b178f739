"""What is recorded for each answer in the table of docs/reference/providers.md, which these tests read.

Each answer comes once from a real server, to a real worker; a second request gets another answer.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.connections import database_connections, publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import Behaviour, Exchange, answer, head, in_turn, provider_server, raw
from tests.support.provider_server import body as answer_body
from tests.support.workers import Fleet

ROOT = Path(__file__).parents[2]
FIXTURES: Mapping[str, Any] = json.loads((ROOT / "tests" / "support" / "provider_answers.json").read_text())
AGAIN = "Asked again."


class Expected(NamedTuple):
    """A row of the table."""

    name: str
    says: str
    becomes: str
    code: str | None
    finish_reason: str | None
    is_complete: bool | None
    model_used: str | None
    tokens: dict[str, int]
    output: str | None


def rows() -> list[Expected]:
    """The table of the documentation, cell by cell."""
    text = (ROOT / "docs" / "reference" / "providers.md").read_text()
    _, _, table = text.partition("| answer | what it is |")
    lines = table.split("\n\n", 1)[0].splitlines()[2:]
    return [_row([cell.strip() for cell in line.strip("|").split("|")]) for line in lines]


def _row(cells: list[str]) -> Expected:
    name, says, becomes, code, finish_reason, is_complete, model_used, tokens, output = cells
    counts = re.findall(r"\d+", tokens)
    counted = dict(zip(("prompt_tokens", "completion_tokens"), map(int, counts), strict=False))
    counted |= {f"{kind}_tokens": int(count) for count, kind in re.findall(r"(\d+) (cached|reasoning)", tokens)}
    return Expected(
        name.strip("`"),
        says,
        becomes,
        code.strip("`") or None,
        finish_reason.strip("`") or None,
        {"yes": True, "no": False, "": None}[is_complete],
        model_used.strip("`") or None,
        counted,
        {"": None, "empty": ""}.get(output, output.strip("`")),
    )


ROWS = {row.name: row for row in rows()}


def served(fixture: Mapping[str, Any]) -> Behaviour:
    """Answer as the fixture says: in full, until the connection ends, or in chunks."""
    data = (fixture["text"] if "text" in fixture else json.dumps(fixture["body"])).encode()
    match fixture.get("framing"):
        case None:
            return answer_body(data)
        case "close":
            return raw(head(200, {"Connection": "close"}) + data)
        case "chunked":
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:20], data[20:]))
            return raw(head(200, {"Transfer-Encoding": "chunked"}) + chunks + b"0\r\n\r\n")
    raise AssertionError(fixture)


@pytest.fixture(scope="module")
def recorded(
    module_database_url: str, engines: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Any]]:
    """What a worker recorded of every answer: cell, tries and responses, by the answer's name."""
    fleet = Fleet(module_database_url, engines.redis_url, tmp_path_factory.mktemp("answers"))
    with provider_server() as server:
        server.behave = _each()
        config = fleet.folder / "breakwater.toml"
        kinds = {name: fixture.get("type", "openai") for name, fixture in FIXTURES.items()}
        config.write_text("\n".join(server.config(name=name, kind=kind) for name, kind in kinds.items()))
        try:
            yield asyncio.run(_run_all(fleet, config))
        finally:
            fleet.close()


async def _run_all(fleet: Fleet, config: Path) -> Mapping[str, Any]:
    models = [{"id": name, "provider": name} for name in FIXTURES]
    async with database_connections(fleet.database_url) as (connection,):
        fleet.start(CONFIG=config)
        await publish_envelopes(
            fleet.redis_url, await store_jobs(connection, [job_body(models=models, policy={"max_attempts": 2})])
        )
        await all_ended(connection, seconds=60)
        await assert_audit(connection)
        return {name: await _recorded(connection, number) for number, name in enumerate(FIXTURES)}


def _each() -> Behaviour:
    behaviours = {name: in_turn(served(fixture), answer(AGAIN)) for name, fixture in FIXTURES.items()}

    async def behave(exchange: Exchange) -> None:
        await behaviours[exchange.call.model](exchange)

    return behave


async def _recorded(connection: Any, model_no: int) -> dict[str, Any]:
    cell = await connection.fetchrow("SELECT * FROM executions WHERE model_no = $1", model_no)
    tries = await connection.fetch("SELECT * FROM attempts WHERE model_no = $1 ORDER BY attempt_no", model_no)
    kept = await connection.fetch("SELECT * FROM responses WHERE model_no = $1 ORDER BY attempt_no", model_no)
    return {"cell": cell, "tries": tries, "responses": {row["attempt_no"]: row["body"] for row in kept}}


def test_the_table_names_every_answer_and_no_other() -> None:
    assert list(ROWS) == list(FIXTURES)
    assert len(ROWS) >= 40


@pytest.mark.parametrize("name", FIXTURES)
def test_each_answer_is_recorded_as_the_table_says(recorded: Mapping[str, Any], name: str) -> None:
    row, (cell, tries, _) = ROWS[name], recorded[name].values()
    if row.becomes == "asked again":
        assert [(attempt["attempt_no"], attempt["error_code"]) for attempt in tries] == [(1, row.code)]
        assert (cell["status"], cell["attempts"], cell["output"]) == ("completed", 2, AGAIN)
        return
    assert (cell["status"], cell["error_code"], cell["output"]) == (row.becomes, row.code, row.output)
    assert (cell["attempts"], list(tries)) == (1, [])
    shown = (cell["finish_reason"], cell["is_complete"], cell["model_used"])
    assert shown == (row.finish_reason, row.is_complete, row.model_used)
    assert {kind: count for kind, count in (cell["usage"] or {}).items() if kind.endswith("_tokens")} == row.tokens


@pytest.mark.parametrize("name", [name for name, fixture in FIXTURES.items() if "body" in fixture])
def test_all_of_each_answer_is_kept(recorded: Mapping[str, Any], name: str) -> None:
    assert recorded[name]["responses"][1] == FIXTURES[name]["body"]


def test_of_a_stream_its_events_are_kept(recorded: Mapping[str, Any]) -> None:
    events = recorded["openrouter-stream"]["responses"][1]
    assert [event["choices"][0]["delta"]["content"] for event in events[:-1]] == ["", "Par", "is."]


def test_an_answer_that_was_lost_or_ended_early_is_asked_for_under_the_same_key(recorded: Mapping[str, Any]) -> None:
    asked_again = {name: recorded[name]["cell"]["key_no"] for name, row in ROWS.items() if row.becomes == "asked again"}
    assert {name for name, key_no in asked_again.items() if key_no == 0} == {
        "stream-ends-early",
        "ends-early",
        "chunks-end-early",
        "litellm-timeout",
        "openrouter-choice-error",
        "router-broken",
    }
