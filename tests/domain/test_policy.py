"""Policy and parameters: defaults, types and bounds."""

import pytest

from tests.domain.bodies import again, errors_of, notes_of, plain, read, refusals


def test_the_defaults_are_those_of_the_contract():
    assert read(plain()).spec.to_json()["policy"] == {
        "max_concurrent": None,
        "timeout_seconds": 300,
        "queue_timeout_seconds": None,
        "max_attempts": 3,
        "min_success_rate": 0.67,
        "delivery": "at_least_once",
        "on_paused": "refuse",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_concurrent", 1),
        ("max_concurrent", None),
        ("timeout_seconds", 0.05),
        ("timeout_seconds", 86_400),
        ("queue_timeout_seconds", None),
        ("queue_timeout_seconds", 3600.5),
        ("max_attempts", 100),
        ("min_success_rate", 0),
        ("min_success_rate", 1),
        ("delivery", "at_least_once"),
        ("delivery", "at_most_once"),
        ("on_paused", "wait"),
    ],
)
def test_a_policy_within_its_bounds_is_kept(name, value):
    assert read(plain(policy={name: value})).spec.to_json()["policy"][name] == value


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("max_concurrent", 0, "out_of_range"),
        ("max_concurrent", 10_001, "out_of_range"),
        ("max_concurrent", 1.0, "wrong_type"),
        ("max_concurrent", True, "wrong_type"),
        ("timeout_seconds", 0, "out_of_range"),
        ("timeout_seconds", -1, "out_of_range"),
        ("timeout_seconds", 86_401, "out_of_range"),
        ("timeout_seconds", "300", "wrong_type"),
        ("timeout_seconds", True, "wrong_type"),
        ("timeout_seconds", None, "wrong_type"),
        ("queue_timeout_seconds", 0, "out_of_range"),
        ("max_attempts", 0, "out_of_range"),
        ("max_attempts", 101, "out_of_range"),
        ("max_attempts", None, "wrong_type"),
        ("min_success_rate", 67, "out_of_range"),
        ("min_success_rate", -0.1, "out_of_range"),
        ("min_success_rate", False, "wrong_type"),
        ("delivery", "exactly_once", "unknown_choice"),
        ("delivery", None, "unknown_choice"),
        ("on_paused", ["wait"], "unknown_choice"),
    ],
)
def test_a_policy_outside_its_bounds_is_refused(name, value, code):
    assert refusals(plain(policy={name: value})) == [(f"/policy/{name}", code)]


@pytest.mark.parametrize(("name", "value"), [("max_concurrent", 2), ("queue_timeout_seconds", 60)])
def test_a_limit_is_taken_without_a_note(name, value):
    reading = read(plain(name="x", policy={name: value}))
    assert notes_of(plain(policy={name: value}), "kept_unused") == []
    assert again(reading.spec).spec == reading.spec


def test_whole_seconds_are_kept_as_integers():
    assert repr(read(plain(policy={"timeout_seconds": 30.0})).spec.policy.timeout_seconds) == "30"


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_tokens": 500, "temperature": 0.1},
        {"temperature": None},
        {"stop": ["\n"], "top_k": 40, "response_format": {"type": "json_object"}},
        {"min_tokens": 5},
    ],
)
def test_parameters_pass_as_they_came(parameters):
    assert read(plain(parameters=parameters)).spec.parameters == parameters


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("max_tokens", "500", "wrong_type"),
        ("max_tokens", True, "wrong_type"),
        ("max_tokens", 0, "out_of_range"),
        ("temperature", 2.1, "out_of_range"),
        ("temperature", "hot", "wrong_type"),
        ("top_p", 1.5, "out_of_range"),
        ("seed", 1.5, "wrong_type"),
        ("presence_penalty", -3, "out_of_range"),
    ],
)
def test_a_known_parameter_is_checked(name, value, code):
    assert refusals(plain(parameters={name: value})) == [(f"/parameters/{name}", code)]


@pytest.mark.parametrize("name", ["model", "messages", "prompt", "stream", "region_preference", "trace_id"])
def test_a_parameter_can_not_change_the_plan(name):
    assert refusals(plain(parameters={name: "x"})) == [(f"/parameters/{name}", "reserved_parameter")]


@pytest.mark.parametrize(("slip", "meant"), [("max_token", "max_tokens"), ("temprature", "temperature")])
def test_a_slip_in_a_known_parameter_is_refused(slip, meant):
    (error,) = errors_of(plain(parameters={slip: 1}))
    assert (error.pointer, error.code, error.extra["nearest"]) == (f"/parameters/{slip}", "unknown_field", meant)


def test_no_more_than_two_hundred_parameters_are_taken():
    assert refusals(plain(parameters={f"p{number}": 1 for number in range(201)})) == [("/parameters", "too_many")]
