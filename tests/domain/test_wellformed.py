"""JSON that can't be stored, hashed or answered is refused with a pointer."""

import json

import pytest

from domain.wellformed import MAX_VALUES, is_storable
from tests.domain.bodies import errors_of, plain, read, refusals


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "é\udfff"])
def test_a_text_that_can_not_be_stored_is_refused(text):
    assert refusals(plain(metadata={"a": [text]})) == [("/metadata/a/0", "invalid_character")]


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_a_name_that_can_not_be_stored_is_refused(text):
    assert [code for _, code in refusals(plain(metadata={text: 1}))] == ["invalid_character"]


def test_the_pointer_to_a_name_that_can_not_be_stored_can_be_sent():
    (error,) = errors_of(plain(metadata={"\ud800": 1}))
    assert json.dumps(error.to_json(), ensure_ascii=False).encode()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**4000, float("inf"), float("nan")])
def test_a_number_that_can_not_be_stored_is_refused(number):
    assert refusals(plain(metadata={"a": number})) == [("/metadata/a", "number_too_large")]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1e300])
def test_the_largest_numbers_are_taken(number):
    assert read(plain(metadata={"a": number})).spec.metadata == {"a": number}


@pytest.mark.parametrize("depth", [64, 1000, 100_000])
def test_deep_nesting_is_refused(depth):
    assert [code for _, code in refusals(plain(metadata={"a": nested(depth)}))] == ["too_deep"]


def test_nesting_up_to_the_bound_is_taken():
    assert refusals(plain(metadata={"a": nested(62)})) == []


def test_names_that_are_one_text_in_two_forms_are_refused():
    assert [code for _, code in refusals(plain(metadata={"é": 1, "e\u0301": 2}))] == ["duplicate_key"]


def test_names_in_any_script_are_taken():
    assert refusals(plain(metadata={"é": 1, "ключ": {"鍵": 2}})) == []


def test_each_place_of_a_value_that_cannot_be_stored_is_reported():
    assert len(errors_of(plain(metadata={"a": "\0", "b": ["\0", 2**70]}))) == 3


def test_no_more_than_a_hundred_places_are_reported():
    assert len(errors_of(plain(metadata={"a": ["\0"] * 500}))) == 100


def test_as_many_values_as_the_largest_spec_has_are_taken():
    assert is_storable(plain(metadata={"a": [1] * (MAX_VALUES - 10)}))


@pytest.mark.parametrize("values", [[1] * MAX_VALUES, [[]] * MAX_VALUES, [[1]] * (MAX_VALUES // 2)])
def test_more_values_are_refused_as_one_error(values):
    assert refusals(plain(metadata={"a": values})) == [("", "too_many_values")]
