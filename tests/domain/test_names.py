"""Regions, models, providers and the job's own names."""

from dataclasses import replace

import pytest

from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from tests.domain.bodies import errors_of, notes_of, plain, read, refusals

PAUSED = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, paused_regions=frozenset({"us-east"}))
CONFIGURED = Registry(
    DEFAULT_REGIONS,
    DEFAULT_QUESTIONS,
    providers=frozenset({"hybrid", "openai", "resting"}),
    paused_providers=frozenset({"resting"}),
)


@pytest.mark.parametrize(
    ("spelling", "region"),
    [
        ("US", "us-east"),
        ("usa", "us-east"),
        ("NA", "us-east"),
        (" US-East\n", "us-east"),
        ("EU", "eu-west"),
        ("Europe", "eu-west"),
        ("APAC", "asia-pacific"),
        ("asia", "asia-pacific"),
    ],
)
def test_every_spelling_of_a_region_becomes_canonical(spelling, region):
    assert read(plain(regions=[spelling])).spec.models[0].regions == (region,)


def test_another_spelling_of_a_region_is_noted():
    assert notes_of(plain(regions=["US"]), "canonicalized") == [
        {"path": "/regions/0", "action": "canonicalized", "from": "US", "to": "us-east"}
    ]


def test_a_region_is_dropped_if_another_spelling_of_it_stands_before():
    assert notes_of(plain(regions=["us-east", "US"]), "dropped_duplicate") == [
        {"path": "/regions/1", "action": "dropped_duplicate", "value": "US", "kept": "/regions/0"}
    ]


@pytest.mark.parametrize("region", ["mars", "us-west", "", "us east"])
def test_an_unknown_region_is_refused_with_the_allowed_ones(region):
    (error,) = errors_of(plain(regions=[region]))
    assert (error.code, error.extra["allowed"]) == ("unknown_region", ["us-east", "eu-west", "asia-pacific"])


def test_regions_must_be_named():
    assert refusals({"models": ["a"], "questions": ["b"]}) == [("/regions", "regions_missing")]


def test_an_empty_list_of_regions_names_none():
    assert refusals(plain(regions=[])) == [("/regions", "regions_missing")]


def test_regions_on_every_model_are_enough():
    body = {"models": [{"id": "a", "regions": ["EU"]}, {"id": "b", "regions": ["US", "EU"]}], "questions": ["c"]}
    assert read(body).spec.regions == ("eu-west", "us-east")


def test_regions_on_some_models_only_are_not_enough():
    body = {"models": [{"id": "a", "regions": ["EU"]}, "b"], "questions": ["c"]}
    assert refusals(body) == [("/regions", "regions_missing")]


def test_a_model_must_run_inside_the_regions_of_the_job():
    body = plain(regions=["US"], models=[{"id": "a", "regions": ["US", "EU"]}])
    assert refusals(body) == [("/models/0/regions", "region_outside_job")]


def test_a_model_may_run_in_some_regions_of_the_job():
    body = plain(regions=["US", "EU"], models=[{"id": "a", "regions": ["EU"]}, "b"])
    assert read(body).planned.to_json() == {"models": 2, "regions": 2, "questions": 1, "executions": 3}


def test_a_region_of_the_job_without_a_model_is_noted():
    body = plain(regions=["US", "EU"], models=[{"id": "a", "regions": ["EU"]}])
    assert [note["value"] for note in notes_of(body, "kept_unused")] == ["us-east"]


def test_a_model_with_an_empty_list_of_regions_is_refused():
    assert refusals(plain(models=[{"id": "a", "regions": []}])) == [("/models/0/regions", "regions_missing")]


def test_a_refused_region_of_the_job_is_not_held_against_its_models():
    assert refusals(plain(regions=["mars"], models=[{"id": "a", "regions": ["US"]}, "b"])) == [
        ("/regions/0", "unknown_region")
    ]


def test_a_paused_region_is_refused():
    assert refusals(plain(regions=["US", "EU"]), PAUSED) == [("/regions/0", "region_paused")]


def test_a_paused_region_of_a_model_is_refused():
    body = {"models": [{"id": "a", "regions": ["US"]}], "questions": ["b"]}
    assert refusals(body, PAUSED) == [("/models/0/regions/0", "region_paused")]


def test_a_refusal_for_a_pause_says_how_to_wait():
    (error,) = errors_of(plain(regions=["US", "EU"]), PAUSED)
    assert error.detail == ("Region us-east is paused: leave it out, send this later, or set policy.on_paused to wait.")
    assert error.extra == {"region": "us-east"}


def test_a_paused_region_is_reported_once_however_it_is_spelled():
    assert refusals(plain(regions=["US", "us-east", "USA"]), PAUSED) == [("/regions/0", "region_paused")]


def test_pauses_are_reported_with_all_other_errors():
    assert refusals(plain(regions=["US"], questions=[]), PAUSED) == [
        ("/questions", "questions_missing"),
        ("/regions/0", "region_paused"),
    ]


def test_a_spec_that_names_a_paused_region_is_understood_though_no_new_job_is_made_of_it():
    reading = read(plain(regions=["US", "EU"]), PAUSED)
    assert reading.spec_hash == read(plain(regions=["US", "EU"])).spec_hash
    assert reading.planned.executions == 2
    assert reading.refusal is not None
    assert reading.refusal.code == "region_paused"


def test_a_job_can_wait_for_a_paused_region():
    reading = read(plain(regions=["US", "EU"], policy={"on_paused": "wait"}), PAUSED)
    assert (reading.spec.regions, reading.refusal) == (("us-east", "eu-west"), None)


def test_a_job_can_wait_for_a_paused_region_of_a_model():
    body = {"models": [{"id": "a", "regions": ["US"]}], "questions": ["b"], "policy": {"on_paused": "wait"}}
    assert read(body, PAUSED).refusal is None


def test_a_job_that_would_wait_is_taken_where_nothing_it_names_is_paused():
    spec = read(plain(regions=["EU"], policy={"on_paused": "wait"}), PAUSED).spec
    assert (spec.regions, spec.policy.on_paused) == (("eu-west",), "wait")


def test_an_unknown_region_is_no_reason_to_wait():
    assert refusals(plain(regions=["mars"], policy={"on_paused": "wait"}), PAUSED) == [("/regions/0", "unknown_region")]


def test_any_provider_is_served_while_none_is_configured():
    assert read(plain(models=[{"id": "a", "provider": "anyone"}])).spec.models[0].provider == "anyone"


def test_an_unknown_provider_is_refused_with_the_allowed_ones():
    (error,) = errors_of(plain(models=[{"id": "a", "provider": "opnai"}]), CONFIGURED)
    assert (error.pointer, error.code, error.extra["nearest"], error.extra["allowed"]) == (
        "/models/0/provider",
        "unknown_provider",
        "openai",
        ["hybrid", "openai", "resting"],
    )


def test_the_default_provider_must_be_configured_too():
    registry = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, providers=frozenset({"openai"}))
    assert refusals(plain(), registry) == [("/models/0", "unknown_provider")]


def test_a_paused_provider_is_refused():
    assert refusals(plain(models=[{"id": "a", "provider": "resting"}]), CONFIGURED) == [
        ("/models/0/provider", "provider_paused")
    ]


def test_a_job_can_wait_for_a_paused_provider():
    body = plain(models=[{"id": "a", "provider": "resting"}], policy={"on_paused": "wait"})
    assert read(body, CONFIGURED).refusal is None


def test_a_paused_default_provider_is_reported_at_the_model():
    registry = replace(CONFIGURED, paused_providers=frozenset({"hybrid"}))
    assert refusals(plain(models=["a", {"id": "b", "provider": "openai"}]), registry) == [
        ("/models/0", "provider_paused")
    ]


def test_where_none_is_configured_a_pause_of_echo_holds_every_provider_name():
    registry = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, paused_providers=frozenset({"echo"}))
    (error,) = errors_of(plain(models=[{"id": "a", "provider": "anyone"}]), registry)
    assert (error.pointer, error.code, error.extra) == (
        "/models/0/provider",
        "provider_paused",
        {"provider": "echo"},
    )


def test_no_more_pauses_are_listed_than_an_answer_holds():
    models = [{"id": f"m-{n}", "provider": "resting"} for n in range(150)]
    assert len(errors_of(plain(models=models), CONFIGURED)) == 100


SOMEWHERE = Registry(
    DEFAULT_REGIONS,
    DEFAULT_QUESTIONS,
    providers=frozenset({"hybrid", "trial"}),
    regions_by_provider={"hybrid": ("us-east", "eu-west")},
)


def test_a_region_that_the_provider_does_not_serve_is_refused_with_those_it_serves():
    (error,) = errors_of(plain(regions=["US", "APAC"]), SOMEWHERE)
    assert (error.pointer, error.code) == ("/models/0", "region_not_served")
    assert error.extra == {"provider": "hybrid", "unserved": ["asia-pacific"], "allowed": ["us-east", "eu-west"]}
    assert error.detail == "Provider hybrid doesn't serve asia-pacific; it serves us-east, eu-west."


def test_a_model_that_names_an_unserved_region_itself_is_pointed_to_there():
    body = plain(regions=["US", "APAC"], models=[{"id": "a", "regions": ["asia"]}])
    assert refusals(body, SOMEWHERE) == [("/models/0/regions", "region_not_served")]


def test_regions_that_the_provider_serves_are_taken():
    assert read(plain(regions=["EU", "US"]), SOMEWHERE).planned.executions == 2


def test_a_provider_without_a_list_of_regions_serves_all_of_them():
    body = plain(regions=["US", "APAC"], models=[{"id": "a", "provider": "trial"}])
    assert read(body, SOMEWHERE).planned.executions == 2


def test_a_region_may_be_unserved_by_one_model_of_several():
    body = plain(regions=["US", "APAC"], models=["a", {"id": "b", "provider": "trial"}, {"id": "c", "regions": ["US"]}])
    assert refusals(body, SOMEWHERE) == [("/models/0", "region_not_served")]


def test_a_default_provider_is_noted_once():
    assert notes_of(plain(name="x", models=["a", "b"]), "defaulted") == [
        {"path": "/models", "action": "defaulted", "to": "hybrid", "detail": "2 without a `provider`."}
    ]


def test_models_and_regions_that_are_both_missing_are_both_reported():
    body = {"questions": ["b"], "regions": []}
    assert refusals(body) == [("/models", "models_missing"), ("/regions", "regions_missing")]


def test_a_refused_region_is_not_a_missing_one():
    body = {"questions": ["b"], "regions": ["mars"]}
    assert refusals(body) == [("/regions/0", "unknown_region"), ("/models", "models_missing")]


@pytest.mark.parametrize("models", [None, []])
def test_models_must_be_named(models):
    assert refusals(plain(models=models)) == [("/models", "models_missing")]


def test_models_may_stand_in_the_metadata():
    body = plain(models=[], metadata={"models": ["a", {"id": "b", "name": "B"}]})
    assert [model.name for model in read(body).spec.models] == ["a", "B"]


def test_a_single_model_may_stand_in_the_metadata():
    assert [model.id for model in read(plain(models=None, metadata={"model": "a"})).spec.models] == ["a"]


def test_models_win_over_other_models_of_the_metadata():
    (note,) = notes_of(plain(metadata={"models": ["b"]}), "contradicted")
    assert (note["path"], note["kept"]) == ("/metadata/models", "/models")


def test_the_same_models_in_another_order_contradict_nothing():
    assert notes_of(plain(models=["a", "b"], metadata={"models": ["b", {"id": "a"}, "a"]}), "contradicted") == []


def test_a_metadata_model_that_does_not_run_is_contradicted():
    assert [note["path"] for note in notes_of(plain(metadata={"model": "b"}), "contradicted")] == ["/metadata/model"]


def test_a_model_given_again_as_an_object_is_dropped():
    body = plain(models=["a", {"id": "a", "name": "a", "provider": "hybrid", "regions": ["US"]}])
    assert read(body).planned.models == 1


@pytest.mark.parametrize("difference", [{"provider": "openai"}, {"name": "A"}, {"regions": ["EU"]}])
def test_a_model_given_again_with_a_difference_is_refused(difference):
    body = plain(regions=["US", "EU"], models=["a", {"id": "a", **difference}])
    (error,) = errors_of(body)
    assert (error.pointer, error.code, error.extra["differing"]) == ("/models/1", "conflicting_model", list(difference))


def test_models_are_the_same_if_their_regions_are_in_another_order():
    body = plain(
        regions=["US", "EU"], models=[{"id": "a", "regions": ["US", "EU"]}, {"id": "a", "regions": ["eu", "us"]}]
    )
    assert read(body).planned.executions == 2


def test_a_model_id_is_trimmed_and_that_is_noted():
    assert notes_of(plain(models=[" a "]), "canonicalized") == [
        {"path": "/models/0", "action": "canonicalized", "from": " a ", "to": "a"}
    ]


@pytest.mark.parametrize(
    ("model", "pointer", "code"),
    [
        (1, "/models/0", "wrong_type"),
        (True, "/models/0", "wrong_type"),
        (None, "/models/0", "wrong_type"),
        ([], "/models/0", "wrong_type"),
        ("", "/models/0", "empty"),
        (" \t", "/models/0", "empty"),
        ("a" * 201, "/models/0", "too_long"),
        ("a\nb", "/models/0", "invalid_character"),
        ({}, "/models/0", "empty"),
        ({"id": 1}, "/models/0/id", "wrong_type"),
        ({"id": "a", "name": 1}, "/models/0/name", "wrong_type"),
        ({"id": "a", "provider": []}, "/models/0/provider", "wrong_type"),
        ({"id": "a", "regions": "US"}, "/models/0/regions", "wrong_type"),
        ({"id": "a", "regions": [1]}, "/models/0/regions/0", "wrong_type"),
        ({"id": "a", "regions": ["us-east"] * 201}, "/models/0/regions", "too_many"),
    ],
)
def test_a_wrong_model_is_refused(model, pointer, code):
    assert refusals(plain(models=[model])) == [(pointer, code)]


@pytest.mark.parametrize("model_id", ["meta-llama/Llama-3.1-8B", "qwen2.5:1.5b", "模型", "a b", "a" * 200])
def test_model_ids_of_providers_are_taken(model_id):
    assert read(plain(models=[model_id])).spec.models[0].id == model_id


@pytest.mark.parametrize("name", ["models", "regions", "questions"])
@pytest.mark.parametrize("value", ["US", 1, {}, True])
def test_a_value_in_place_of_a_list_is_refused(name, value):
    assert refusals(plain(**{name: value})) == [(f"/{name}", "wrong_type")]


@pytest.mark.parametrize("name", ["models", "regions", "questions"])
def test_no_axis_has_more_than_two_hundred_items(name):
    assert refusals(plain(**{name: ["US"] * 201})) == [(f"/{name}", "too_many")]


def test_too_many_cells_are_refused_by_their_product():
    registry = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, max_cells=5)
    (error,) = errors_of(plain(models=["a", "b"], questions=["c", "d", "e"]), registry)
    assert (error.code, error.extra) == ("too_many_cells", {"planned": 6, "limit": 5})


def test_exactly_the_bound_of_cells_is_taken():
    registry = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, max_cells=6)
    assert read(plain(models=["a", "b"], questions=["c", "d", "e"]), registry).planned.executions == 6


@pytest.mark.parametrize("job_id", ["a", "A-1_x.y:z", "0" * 100])
def test_an_id_is_kept_as_it_came(job_id):
    assert read(plain(id=job_id)).spec.id == job_id


@pytest.mark.parametrize("job_id", ["", "-a", "a b", "ä", "a/b", "0" * 101, "a\n"])
def test_another_id_is_refused(job_id):
    assert refusals(plain(id=job_id)) == [("/id", "invalid_id")]


@pytest.mark.parametrize(
    ("name", "code"), [(1, "wrong_type"), ("", "empty"), ("x" * 201, "too_long"), ("a\u2028b", "invalid_character")]
)
def test_a_wrong_name_is_refused(name, code):
    assert refusals(plain(name=name)) == [("/name", code)]


@pytest.mark.parametrize("value", ["never", 1, None, [], {}])
def test_an_unknown_on_duplicate_is_answered_with_the_known_ones(value):
    errors = errors_of(plain(on_duplicate=value))
    assert [error.extra["allowed"] for error in errors] == ([["join", "reject", "create"]] if value is not None else [])
