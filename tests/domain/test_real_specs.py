"""Specs that clients really sent, and their expected results."""

import pytest

from tests.domain.bodies import again, errors_of, notes_of, read, submitted


def test_duplicate_model_strings_are_dropped_and_noted():
    assert notes_of(submitted("01"), "dropped_duplicate") == [
        {
            "path": "/metadata/models/2",
            "action": "dropped_duplicate",
            "value": "llama3.2-1b",
            "kept": "/metadata/models/0",
        },
        {
            "path": "/metadata/models/3",
            "action": "dropped_duplicate",
            "value": "qwen2.5-1.5b",
            "kept": "/metadata/models/1",
        },
    ]


def test_duplicate_model_strings_plan_each_model_once():
    assert read(submitted("01")).planned.to_json() == {"models": 2, "regions": 1, "questions": 1, "executions": 2}


def test_a_model_string_takes_its_name_its_provider_and_the_regions_of_the_job():
    assert read(submitted("01")).spec.to_json()["models"] == [
        {"id": "llama3.2-1b", "name": "llama3.2-1b", "provider": "hybrid", "regions": ["us-east"]},
        {"id": "qwen2.5-1.5b", "name": "qwen2.5-1.5b", "provider": "hybrid", "regions": ["us-east"]},
    ]


def test_the_incident_spec_plans_two_executions():
    assert read(submitted("02")).planned.executions == 2


def test_the_incident_spec_stays_in_us_east():
    assert {region for model in read(submitted("02")).spec.models for region in model.regions} == {"us-east"}


def test_aliases_plan_eighteen_executions_in_three_canonical_regions():
    reading = read(submitted("03"))
    assert (reading.planned.executions, reading.spec.regions) == (18, ("us-east", "eu-west", "asia-pacific"))


def test_a_true_expectation_is_not_contradicted():
    assert notes_of(submitted("03"), "contradicted") == []


def test_questions_of_the_bank_get_their_texts():
    assert [question.text for question in read(submitted("03")).spec.questions] == [
        "What is 2+2?",
        "What is the capital of France?",
    ]


def test_a_wallet_address_is_not_kept():
    assert read(submitted("03")).spec.metadata["wallet_address"] == "[redacted]"


def test_the_wrong_layout_is_answered_with_each_misplaced_field_and_where_it_belongs():
    assert {error.pointer: (error.code, error.extra["move_to"]) for error in errors_of(submitted("07"))} == {
        "/container": ("misplaced_field", "/benchmark/container"),
        "/input": ("misplaced_field", "/benchmark/input"),
        "/input/questions": ("misplaced_field", "/questions"),
        "/scoring": ("misplaced_field", "/benchmark/scoring"),
        "/regions": ("misplaced_field", "/constraints/regions"),
        "/constraints/timeout_seconds": ("unknown_field", "/policy/timeout_seconds"),
        "/constraints/max_retries": ("unknown_field", "/policy/max_attempts"),
    }


@pytest.mark.parametrize("number", ["01", "02", "03"])
def test_a_real_spec_is_normalized_once_and_for_all(number):
    reading = read(submitted(number))
    second = again(reading.spec)
    assert (second.spec, second.spec_hash) == (reading.spec, reading.spec_hash)


@pytest.mark.parametrize(
    ("number", "spec_hash"),
    [
        ("01", "h1:2419ddb8615f1d3105f0148700207afca7cc405f6d27130a25fa3059728f5046"),
        ("02", "h1:92263e897a6aad8be81016bae6e036fa3b551ef22dd2a3fd988d853988f74d46"),
        ("03", "h1:1bb10a9276a93e5ef43be8665d4c27fb50de0bb4b80fbfc8809586ca70293dca"),
    ],
)
def test_the_hash_of_a_real_spec_never_changes(number, spec_hash):
    assert read(submitted(number)).spec_hash == spec_hash
