"""The benchmark layout, its envelope and the plain form lead to one spec, with pointers into the submitted body."""

import pytest

from tests.domain.bodies import again, benchmark, errors_of, notes_of, plain, read, refusals


def envelope(*, jobspec: dict[str, object] | None = None, **changes: object) -> dict[str, object]:
    return {"jobspec": jobspec or benchmark(), "target_regions": ["US"], **changes}


def test_the_layouts_give_one_spec_hash():
    bodies = plain(name="capitals"), benchmark(), envelope()
    assert len({read(body).spec_hash for body in bodies}) == 1


@pytest.mark.parametrize("body", [None, [], "job", 1, True])
def test_a_body_that_is_no_object_is_refused(body):
    assert refusals(body) == [("", "body_not_object")]


def test_an_unknown_field_is_answered_with_the_nearest_known_name():
    (error,) = errors_of(plain(modles=["a"]))
    assert (error.pointer, error.code, error.extra["nearest"]) == ("/modles", "unknown_field", "models")


def test_an_unknown_field_far_from_any_is_answered_with_the_known_ones():
    (error,) = errors_of(plain(zzz=1))
    assert "models" in error.extra["allowed"]


def test_an_unknown_field_that_belongs_elsewhere_is_answered_with_its_place():
    (error,) = errors_of(plain(max_tokens=1))
    assert error.extra["move_to"] == "/parameters/max_tokens"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (plain(models=[{"id": "a", "colour": 1}]), "/models/0/colour"),
        (plain(questions=[{"text": "a", "colour": 1}]), "/questions/0/colour"),
        (plain(policy={"colour": 1}), "/policy/colour"),
        (benchmark(benchmark={"colour": 1}), "/benchmark/colour"),
        (benchmark(constraints={"regions": ["US"], "colour": 1}), "/constraints/colour"),
        (benchmark(colour=1), "/colour"),
        (envelope(colour=1), "/colour"),
        (envelope(jobspec=benchmark(colour=1)), "/jobspec/colour"),
        (plain(**{"a/b~c": 1}), "/a~1b~0c"),
    ],
)
def test_an_unknown_field_is_refused_wherever_it_stands(body, pointer):
    assert refusals(body) == [(pointer, "unknown_field")]


def test_a_container_image_has_no_place_in_the_plain_form():
    assert refusals(plain(models=[{"id": "a", "container_image": ""}])) == [
        ("/models/0/container_image", "unknown_field")
    ]


@pytest.mark.parametrize(
    ("name", "value", "home"),
    [
        ("regions", ["US"], "/constraints/regions"),
        ("container", {}, "/benchmark/container"),
        ("input", {}, "/benchmark/input"),
        ("scoring", {}, "/benchmark/scoring"),
    ],
)
def test_a_field_one_level_too_high_is_answered_with_where_it_belongs(name, value, home):
    (error,) = errors_of(benchmark(**{name: value}))
    assert (error.pointer, error.code, error.extra["move_to"]) == (f"/{name}", "misplaced_field", home)


def test_a_field_of_the_jobspec_beside_it_is_answered_with_where_it_belongs():
    (error,) = errors_of(envelope(questions=["a"]))
    assert (error.code, error.extra["move_to"]) == ("misplaced_field", "/jobspec/questions")


def test_regions_in_the_wrong_place_are_not_called_missing_as_well():
    body = benchmark(constraints={}, regions=["US"])
    assert refusals(body) == [("/regions", "misplaced_field")]


def test_a_provider_timeout_in_nanoseconds_becomes_seconds():
    body = benchmark(constraints={"regions": ["US"], "provider_timeout": 120_000_000_000})
    assert read(body).spec.policy.timeout_seconds == 120


def test_a_provider_timeout_may_be_a_fraction_of_a_second():
    body = benchmark(constraints={"regions": ["US"], "provider_timeout": 1_500_000_000})
    assert read(body).spec.policy.timeout_seconds == 1.5


@pytest.mark.parametrize("field", ["timeout", "provider_timeout"])
@pytest.mark.parametrize("value", ["30m", "600000000000", 0, -1, 600, 6e11, True, [], 2**62])
def test_a_timeout_is_an_integer_of_nanoseconds(field, value):
    body = benchmark(constraints={"regions": ["US"], field: value})
    assert refusals(body) == [(f"/constraints/{field}", "invalid_timeout")]


def test_an_overall_timeout_is_kept_unused():
    body = benchmark(constraints={"regions": ["US"], "timeout": 600_000_000_000})
    assert read(body).spec.extensions["constraints"] == {"timeout": 600_000_000_000}


def test_a_kept_field_is_noted_with_the_place_where_it_is_kept():
    assert notes_of(benchmark(version="v1"), "kept_unused") == [
        {"path": "/version", "action": "kept_unused", "to": "/extensions/version"}
    ]


def test_a_kept_field_of_a_model_is_noted_with_the_place_where_it_is_kept():
    body = benchmark(models=[{"id": "org/a", "container_image": "x"}])
    assert notes_of(body, "kept_unused") == [
        {
            "path": "/models/0/container_image",
            "action": "kept_unused",
            "to": "/extensions/models/org~1a/container_image",
        }
    ]


@pytest.mark.parametrize("name", ["signature", "public_key", "wallet_auth"])
def test_signatures_and_wallet_fields_are_redacted(name):
    assert read(benchmark(**{name: {"secret": "0xabc"}})).spec.extensions[name] == "[redacted]"


def test_secrets_deep_inside_kept_fields_are_redacted():
    body = benchmark(benchmark={"name": "a", "metadata": {"list": [{"Wallet_Address": "0xabc", "b": 1}]}})
    assert read(body).spec.extensions["benchmark"]["metadata"] == {"list": [{"Wallet_Address": "[redacted]", "b": 1}]}


def test_a_redacted_field_of_the_metadata_is_noted():
    assert [note["path"] for note in notes_of(plain(metadata={"a": {"signature": "x"}}), "kept_unused")] == [
        "/metadata/a/signature"
    ]


def test_extensions_are_accepted_back():
    reading = read(benchmark(version="v1", runs=1, signature="x"))
    assert again(reading.spec).spec.extensions == {"version": "v1", "runs": 1, "signature": "[redacted]"}


def test_a_minimum_success_rate_goes_to_the_policy():
    body = benchmark(constraints={"regions": ["US"], "min_success_rate": 0.5})
    assert read(body).spec.policy.min_success_rate == 0.5


def test_a_minimum_success_rate_of_the_envelope_goes_to_the_policy():
    assert read(envelope(min_success_rate=0.4)).spec.policy.min_success_rate == 0.4


def test_the_policy_wins_over_the_constraints_and_says_so():
    body = benchmark(constraints={"regions": ["US"], "min_success_rate": 0.5}, policy={"min_success_rate": 0.9})
    (note,) = notes_of(body, "contradicted")
    assert (note["path"], note["kept"]) == ("/constraints/min_success_rate", "/policy/min_success_rate")


def test_a_wrong_rate_is_reported_where_it_was_written():
    body = benchmark(constraints={"regions": ["US"], "min_success_rate": 67})
    assert refusals(body) == [("/constraints/min_success_rate", "out_of_range")]


def test_the_regions_of_an_envelope_must_be_those_of_its_jobspec():
    assert refusals(envelope(target_regions=["EU"])) == [("/target_regions", "regions_mismatch")]


def test_the_regions_of_an_envelope_are_compared_after_mapping():
    body = envelope(
        jobspec=benchmark(constraints={"regions": ["EU", "us-east"]}), target_regions=["usa", "EUROPE", "eu"]
    )
    assert refusals(body) == []


def test_the_regions_of_an_envelope_stand_in_for_absent_ones():
    assert read(envelope(jobspec=benchmark(constraints={}))).spec.regions == ("us-east",)


def test_errors_inside_an_envelope_point_into_it():
    assert refusals(envelope(jobspec=benchmark(models=[1]))) == [("/jobspec/models/0", "wrong_type")]


def test_fields_of_an_envelope_without_effect_are_kept():
    assert read(envelope(enable_analysis=True)).spec.extensions["envelope"] == {"enable_analysis": True}


def test_a_jobspec_must_be_an_object():
    assert ("/jobspec", "wrong_type") in refusals({"jobspec": "x"})


def test_the_name_defaults_to_the_benchmark():
    assert read(benchmark()).spec.name == "capitals"


def test_the_name_defaults_to_job():
    assert notes_of(plain(), "defaulted")[-1] == {"path": "/name", "action": "defaulted", "to": "job"}


def test_a_jobspec_id_stands_in_for_the_id():
    assert read(benchmark(jobspec_id="a-1")).spec.id == "a-1"


def test_another_jobspec_id_is_contradicted():
    assert [note["path"] for note in notes_of(benchmark(id="b", jobspec_id="a"), "contradicted")] == ["/jobspec_id"]


def test_the_prompt_is_asked_if_there_are_no_questions():
    body = benchmark(benchmark={"input": {"data": {"prompt": "Why?"}}}, questions=[])
    assert [question.text for question in read(body).spec.questions] == ["Why?"]


def test_the_prompt_is_not_asked_beside_questions():
    body = benchmark(benchmark={"input": {"data": {"prompt": "Why?"}}})
    assert [question.text for question in read(body).spec.questions] == ["What is 2+2?"]


@pytest.mark.parametrize("name", ["expected_executions", "total_executions_expected"])
def test_a_wrong_expectation_is_contradicted_and_not_obeyed(name):
    assert notes_of(plain(metadata={name: 7}), "contradicted") == [
        {
            "path": f"/metadata/{name}",
            "action": "contradicted",
            "to": 1,
            "detail": "The plan has 1 executions.",
        }
    ]


def test_metadata_is_kept_whole():
    metadata = {"models": ["llama3.2-1b"], "team": {"a": [1]}}
    assert read(plain(metadata=metadata)).spec.metadata == metadata


@pytest.mark.parametrize("name", ["benchmark", "constraints", "metadata", "policy", "parameters"])
def test_an_object_must_be_one(name):
    assert (f"/{name}", "wrong_type") in refusals(benchmark(**{name: "x"}))


@pytest.mark.parametrize("name", ["container", "input", "scoring", "metadata"])
def test_an_object_of_the_benchmark_must_be_one(name):
    assert refusals(benchmark(benchmark={name: 1})) == [(f"/benchmark/{name}", "wrong_type")]


@pytest.mark.parametrize(
    "name", ["id", "kind", "name", "parameters", "policy", "on_duplicate", "metadata", "extensions"]
)
def test_null_counts_as_not_given(name):
    assert read(plain(**{name: None})).spec == read(plain()).spec


def test_an_unknown_kind_is_answered_with_the_kinds():
    (error,) = errors_of(plain(kind="cooking"))
    assert (error.pointer, error.code, error.extra["allowed"]) == ("/kind", "unknown_choice", ["inference", "import"])


@pytest.mark.parametrize("kind", ["", 0, False, [], {}, ["import"], "IMPORT"])
def test_a_kind_must_be_spelled_exactly(kind):
    assert refusals(plain(kind=kind)) == [("/kind", "unknown_choice")]


def test_all_errors_are_reported_at_once():
    body = plain(id="?", regions=["mars"], models=[1], questions=[""], on_duplicate="maybe")
    assert {pointer for pointer, _ in refusals(body)} == {
        "/id",
        "/regions/0",
        "/models/0",
        "/questions/0",
        "/on_duplicate",
    }


def test_no_more_than_a_hundred_errors_are_reported():
    assert len(errors_of(plain(models=[1] * 200))) == 100


def test_no_submitted_value_is_echoed():
    body = plain(policy={"max_attempts": 987654}, name="s3cret" * 60, metadata=["s3cret"], models=[{"id": 987654}])
    assert not [
        error for error in errors_of(body) if "s3cret" in str(error.to_json()) or "987654" in str(error.to_json())
    ]


def test_an_echoed_name_is_cut():
    (error,) = errors_of(plain(regions=["x" * 5000]))
    assert len(error.detail) < 300


def test_the_notes_of_one_answer_are_bounded():
    models = [{"id": f"m{number}", "regions": ["US"] * 200} for number in range(200)]
    assert len(read(plain(models=models)).notes) == 1000


def test_regions_in_the_right_place_are_read_even_if_others_are_misplaced():
    body = benchmark(constraints={"regions": ["mars"]}, regions=["US"])
    assert set(refusals(body)) == {("/regions", "misplaced_field"), ("/constraints/regions/0", "unknown_region")}


def test_a_misplaced_field_that_is_null_counts_as_not_given():
    assert refusals(benchmark(regions=None)) == []
