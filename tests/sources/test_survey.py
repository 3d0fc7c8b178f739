"""Surveys of whole imports: each record type yields what was counted or why it wasn't, whatever its source does."""

from collections.abc import Mapping
from contextlib import nullcontext

import pytest

from domain.import_spec import ImportPolicy, ImportSpec, RecordType
from domain.sources.file import FileSource
from domain.sources.source import Source
from domain.sources.sql import SqlSource
from sources.errors import SourceBusy, SourceError, SourceTimeout, SourceUnavailable, Unreadable
from sources.protocol import Survey
from sources.survey import SurveyFailure, failure_of, survey, waves_of


class Answering:
    """A source of one row, or one that raises."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.survey_permit = nullcontext()

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
    return found, failure_of(spec, found), waves_of(spec, found)


async def test_an_unforeseen_error_fails_its_record_type_alone():
    cause = RuntimeError("secret")
    found, failure, waves = await surveyed({"b": cause}, "a", "b", "c")
    assert isinstance(found["a"], Survey)
    assert isinstance(found["c"], Survey)
    assert isinstance(found["b"], SurveyFailure)
    assert (found["b"].code, found["b"].cause) == ("source_error", cause)
    assert "RuntimeError" in found["b"].detail
    assert "secret" not in found["b"].detail
    assert failure is not None
    assert (failure.code, failure.retryable, waves) == ("source_error", False, None)


@pytest.mark.parametrize(
    ("errors", "retryable", "is_unavailable"),
    [
        ([SourceUnavailable("away"), SourceBusy("busy")], True, True),
        ([SourceUnavailable("away"), SourceTimeout("late")], True, False),
        ([SourceUnavailable("away"), Unreadable("nonsense")], False, False),
        ([SourceUnavailable("away"), SourceError("odd")], False, False),
    ],
)
async def test_another_try_is_worth_it_only_where_nothing_definite_is_wrong(errors, retryable, is_unavailable):
    _, failure, _ = await surveyed(dict(zip("ab", errors, strict=True)), "a", "b", "c")
    assert failure is not None
    assert (failure.code, failure.retryable, failure.is_unavailable) == (
        "source_unavailable",
        retryable,
        is_unavailable,
    )


async def test_a_timeout_that_a_source_raises_itself_is_no_limit_of_the_policy():
    found, _, _ = await surveyed({"a": TimeoutError()}, "a")
    assert isinstance(found["a"], SurveyFailure)
    assert found["a"].code == "source_error"


async def test_no_more_than_five_record_types_are_reported():
    names = "abcdefg"
    _, failure, _ = await surveyed({name: Unreadable(f"nonsense in {name}.") for name in names}, *names)
    assert failure is not None
    assert failure.detail.startswith('a (file "a"): nonsense in a. b (file "b")')
    assert failure.detail.endswith("nonsense in e. and 2 more.")


async def test_a_file_and_a_connection_are_named_once():
    errors = {"a": Unreadable('"a": Line 2 is odd.'), "b": Unreadable("It is odd."), "c": Unreadable('"c.csv": odd.')}
    _, failure, _ = await surveyed(errors, "a", "b", "c")
    assert failure is not None
    assert failure.detail == 'a (file "a"): Line 2 is odd. b (file "b"): It is odd. c (file "c"): "c.csv": odd.'
    failure = SurveyFailure("source_unavailable", 'Connection "erp": the source is unavailable.')
    table = RecordType(id="line", key=("id",), source=SqlSource("erp", "public.line"))
    assert failure_of(ImportSpec(None, "a", "a", (table,)), {"line": failure}).detail == (
        'line (table "public.line" of "erp"): the source is unavailable.'
    )
