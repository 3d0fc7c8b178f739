"""The examples of docs/explanation/deduplication.md run unchanged, and give the shown answers."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.dedup_examples import CONFLICT_EXAMPLES, CREATED_EXAMPLES, JOINED_EXAMPLES
from api.schemas.submissions import SubmissionAnswer
from tests.support.programs import require_program
from tests.support.service import Client, Process, unique

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "deduplication.md"
EXAMPLE = re.compile(r"```sh\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)
MARK = "-- end of example --"


def examples() -> list[tuple[str, Any]]:
    return [(commands, json.loads(shown)) for commands, shown in EXAMPLE.findall(DOCUMENT.read_text())]


@pytest.fixture(scope="module")
def printed(service: Process, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The output of each example, all of them typed into one shell."""
    bash, _ = require_program("bash"), require_program("curl")
    script = "".join(f"{commands}\necho; echo '{MARK}'\n" for commands, _ in examples())
    done = subprocess.run(
        [bash, "-eu", "-c", script],
        env={"BREAKWATER": service.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        cwd=tmp_path_factory.mktemp("examples"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split(MARK)[:-1]


@pytest.mark.parametrize("number", range(len(examples())))
def test_an_example_gives_the_shown_answer(printed: list[str], number: int) -> None:
    commands, shown = examples()[number]
    assert_holds(json.loads(printed[number]), shown, commands)


def assert_holds(answered: Any, shown: Any, at: str) -> None:
    """Check that the answer holds everything that is shown."""
    if isinstance(shown, dict):
        assert shown.keys() <= answered.keys(), (at, answered)
        for name, value in shown.items():
            assert_holds(answered[name], value, f"{at} {name}")
    elif isinstance(shown, list):
        assert len(answered) == len(shown), (at, answered)
        for answer, value in zip(answered, shown, strict=True):
            assert_holds(answer, value, at)
    else:
        assert answered == shown, at


def test_every_example_has_an_answer() -> None:
    assert DOCUMENT.read_text().count("```sh\n") == len(examples()) >= 10


@pytest.mark.parametrize("examples_by_name", [CREATED_EXAMPLES, JOINED_EXAMPLES], ids=["created", "joined"])
async def test_an_answer_in_the_description_has_the_members_of_a_real_one(
    client: Client, examples_by_name: dict[str, Any]
) -> None:
    real = (await client.post(unique(regions=["US"]))).json()
    for example in examples_by_name.values():
        shown = example["value"]
        assert SubmissionAnswer.model_validate(shown)
        assert shown.keys() == real.keys()
        assert shown["dedup"].keys() == real["dedup"].keys()
        assert shown["job"] is None or shown["job"].keys() == real["job"].keys()


async def test_a_conflict_in_the_description_has_the_members_of_a_real_one(client: Client) -> None:
    body = unique()
    await client.post(body)
    real = (await client.post({**body, "on_duplicate": "reject"})).json()
    shown = CONFLICT_EXAMPLES["rejected"]["value"]
    assert shown.keys() == real.keys()
    assert all(shown[name] == real[name] for name in ("type", "title", "status", "detail", "code", "reason"))
