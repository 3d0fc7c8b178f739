"""Properties of every body, with generated examples."""

import copy
import json
import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import SpecRejected
from domain.fingerprint import body_hash, canonical_json, differences
from domain.registry import DEFAULT_REGIONS
from domain.spec import JobSpec
from tests.domain.bodies import again, errors_of, read

SPELLINGS = {
    "us-east": ["us-east", "US", " usa", "NA"],
    "eu-west": ["EU", "Europe", "eu-west"],
    "asia-pacific": ["ASIA"],
}
LINE_BREAKING = {"Cc", "Zl", "Zp"}
regions = st.lists(st.sampled_from([s for spellings in SPELLINGS.values() for s in spellings]), min_size=1, max_size=5)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
labels = texts.filter(str.strip).filter(lambda text: not LINE_BREAKING & set(map(unicodedata.category, text)))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
FIELD_NAMES = [
    *("id", "kind", "name", "models", "regions", "questions", "parameters", "policy", "on_duplicate", "metadata"),
    *("extensions", "benchmark", "constraints", "jobspec", "target_regions", "min_success_rate", "input", "data"),
    *("prompt", "text", "provider", "timeout", "provider_timeout", "model", "max_tokens", "expected_executions"),
]
names = st.sampled_from(FIELD_NAMES) | st.text(max_size=5)
words = st.sampled_from(["US", "us-east", "inference", "import", "math_basic", "join", "wait", "mars", "a", ""])
json_values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
storable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, object]:
    """Draw plain specs that are mostly right: aliases, duplicates and mixed spellings included."""
    job_regions = draw(regions)
    model_ids = draw(st.lists(labels, min_size=1, max_size=4))
    within = st.lists(st.sampled_from(job_regions), min_size=1, max_size=3)
    models = [
        draw(st.just(model_id) | st.fixed_dictionaries({"id": st.just(model_id)}, optional={"regions": within}))
        for model_id in model_ids
    ]
    return {
        "models": models,
        "regions": job_regions,
        "questions": draw(st.lists(texts.filter(str.strip) | st.just("math_basic"), min_size=1, max_size=4)),
        "name": draw(labels),
        "metadata": draw(st.dictionaries(texts, storable, max_size=3)),
        "policy": draw(st.fixed_dictionaries({}, optional={"timeout_seconds": st.floats(0.01, 999)})),
    }


def readable(body: object) -> JobSpec | None:
    try:
        return read(body).spec
    except SpecRejected:
        return None


@given(json_values)
@settings(max_examples=400)
def test_any_json_is_taken_or_refused(body):
    assert json.dumps([error.to_json() for error in errors_of(body)], ensure_ascii=False).encode()


@given(st.dictionaries(st.sampled_from(FIELD_NAMES), json_values, min_size=3, max_size=12))
@settings(max_examples=400)
def test_any_value_under_a_known_name_is_taken_or_refused(body):
    readable(body)


@given(specs(), st.sampled_from(["models", "regions", "questions", "policy", "metadata"]), json_values)
@settings(max_examples=300)
def test_a_right_spec_with_one_part_at_random_is_taken_or_refused(body, name, value):
    readable({**body, name: value})


@given(specs())
def test_planned_cells_are_unique_and_counted(body):
    spec = readable(body)
    if spec is None:
        return
    cells = [
        (model.id, region, question.id)
        for model, question in product(spec.models, spec.questions)
        for region in model.regions
    ]
    assert len(set(cells)) == len(cells) == read(body).planned.executions


@given(specs())
def test_every_planned_region_was_submitted(body):
    spec = readable(body)
    if spec is None:
        return
    submitted = {canonical for canonical, spellings in SPELLINGS.items() for s in spellings if s in body["regions"]}
    assert {region for model in spec.models for region in model.regions} <= submitted


@given(specs())
def test_normalizing_twice_changes_nothing(body):
    spec = readable(body)
    if spec is None:
        return
    second = again(spec)
    assert (second.spec, second.spec_hash) == (spec, read(body).spec_hash)


@given(specs())
def test_a_stored_spec_comes_back_as_it_was(body):
    spec = readable(body)
    if spec is not None:
        assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(specs())
def test_reading_leaves_the_body_as_it_is(body):
    before = copy.deepcopy(body)
    readable(body)
    assert body == before


@given(specs(), st.randoms(use_true_random=False))
def test_equivalent_spellings_have_one_hash(body, random):
    if readable(body) is None:
        return
    respelled = {**body, "regions": [random.choice(region_spellings(region)) for region in body["regions"]]}
    respelled["questions"] = [f" {unicodedata.normalize('NFD', text)} " for text in body["questions"]]
    random.shuffle(respelled["questions"])
    assert read(respelled).spec_hash == read(body).spec_hash


def region_spellings(spelling: str) -> list[str]:
    return next(spellings for spellings in SPELLINGS.values() if spelling in spellings)


@given(specs(), labels)
def test_another_question_gives_another_hash(body, text):
    spec = readable(body)
    more = readable({**body, "questions": [*body["questions"], text]})
    if spec is not None and more is not None:
        assert (read(more.to_json()).spec_hash == read(body).spec_hash) == (len(more.questions) == len(spec.questions))


@given(storable, storable)
def test_values_differ_exactly_if_their_canonical_json_does(a, b):
    assert (differences(a, b) == []) == (canonical_json(a) == canonical_json(b))


@given(storable)
def test_a_json_round_trip_keeps_the_hash_of_a_body(value):
    assert body_hash(json.loads(json.dumps(value))) == body_hash(value)


@pytest.mark.parametrize("region", DEFAULT_REGIONS, ids=lambda region: region.name)
def test_every_configured_spelling_is_a_region(region):
    body = {"models": ["a"], "questions": ["b"], "regions": [region.name, *region.aliases]}
    assert read(body).spec.regions == (region.name,)
