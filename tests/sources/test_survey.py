"""Surveys of whole imports: each record type yields what was counted or why it wasn't, whatever its source does."""

from collections.abc import Mapping
from contextlib import nullcontext

import pytest

from domain.import_spec import ImportPolicy, ImportSpec, RecordType
from domain.sources.file import FileSource
from domain.sources.source import Source
from sources.errors import SourceBusy, SourceError, SourceTimeout, SourceUnavailable, Unreadable
from sources.protocol import Survey
from sources.survey import Trouble, survey, trouble_of, waves_of


class Answering:
    """A source of one row, or one that raises."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.survey_turn = nullcontext()

    async def ranges(self, *_):
        if self._error is not None:
            raise self._error
        return Survey(0, [])

    async def aclose(self) -> None:
        pass


def opener(errors: Mapping[str, Exception]):
    def open_source(source: Source):
        assert isinstance(source, FileSource)
        return Answering(errors.get(source.path))

    return open_source


def spec_of(*names: str) -> ImportSpec:
    types = tuple(RecordType(id=name, key=("id",), source=FileSource(name), depends_on=()) for name in names)
    return ImportSpec(id=None, name="survey", dataset="survey", record_types=types, policy=ImportPolicy())


async def surveyed(errors: Mapping[str, Exception], *names: str):
    spec = spec_of(*names)
    found = await survey(spec, opener(errors))
    return found, trouble_of(spec, found), waves_of(spec, found)


async def test_an_unforeseen_error_fails_its_record_type_alone():
    cause = RuntimeError("secret")
    found, trouble, waves = await surveyed({"b": cause}, "a", "b", "c")
    assert isinstance(found["a"], Survey)
    assert isinstance(found["c"], Survey)
    assert isinstance(found["b"], Trouble)
    assert (found["b"].code, found["b"].cause) == ("source_error", cause)
    assert "RuntimeError" in found["b"].detail
    assert "secret" not in found["b"].detail
    assert trouble is not None
    assert (trouble.code, trouble.retryable, waves) == ("source_error", False, None)


@pytest.mark.parametrize(
    ("errors", "retryable", "is_away"),
    [
        ([SourceUnavailable("away"), SourceBusy("busy")], True, True),
        ([SourceUnavailable("away"), SourceTimeout("late")], True, False),
        ([SourceUnavailable("away"), Unreadable("nonsense")], False, False),
        ([SourceUnavailable("away"), SourceError("odd")], False, False),
    ],
)
async def test_another_try_is_worth_it_only_where_nothing_definite_is_wrong(errors, retryable, is_away):
    _, trouble, _ = await surveyed(dict(zip("ab", errors, strict=True)), "a", "b", "c")
    assert trouble is not None
    assert (trouble.code, trouble.retryable, trouble.is_away) == ("source_unavailable", retryable, is_away)


async def test_a_timeout_that_a_source_raises_itself_is_no_limit_of_the_policy():
    found, _, _ = await surveyed({"a": TimeoutError()}, "a")
    assert isinstance(found["a"], Trouble)
    assert found["a"].code == "source_error"


async def test_no_more_than_five_record_types_are_reported():
    names = "abcdefg"
    _, trouble, _ = await surveyed({name: Unreadable(f"nonsense in {name}.") for name in names}, *names)
    assert trouble is not None
    assert trouble.detail.startswith('a (file "a"): nonsense in a. b (file "b")')
    assert trouble.detail.endswith("nonsense in e. and 2 more.")
