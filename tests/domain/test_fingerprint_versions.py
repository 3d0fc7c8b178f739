"""The version of a hash: `h1:` never changes; `h2:` also distinguishes differences that a provider sees."""

import json
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import fingerprint
from domain.fingerprint import body_hash, differences, is_same_body, spec_hash
from domain.spec import Policy
from tests.domain.bodies import benchmark, plain, read, submitted

EXAMPLES = Path(__file__).parents[2] / "examples"
SCHEMA = {"type": "object", "properties": {"reason": {"type": "string"}, "answer": {"type": "string"}}}
TURNED = {"properties": {"answer": {"type": "string"}, "reason": {"type": "string"}}, "type": "object"}
COMPOSED, APART = "caf\u00e9", "cafe\u0301"
flat = st.dictionaries(
    st.text("xyz_", min_size=3, max_size=6),
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab é") | st.lists(st.text("ab"), max_size=3),
    max_size=5,
)
nested = st.recursive(
    st.integers(-9, 9) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner),
    max_leaves=8,
)


def hash_with(**parameters: object) -> str:
    return read(plain(parameters=parameters)).spec_hash


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (submitted("01"), "h1:2419ddb8615f1d3105f0148700207afca7cc405f6d27130a25fa3059728f5046"),
        (submitted("02"), "h1:92263e897a6aad8be81016bae6e036fa3b551ef22dd2a3fd988d853988f74d46"),
        (submitted("03"), "h1:1bb10a9276a93e5ef43be8665d4c27fb50de0bb4b80fbfc8809586ca70293dca"),
        (
            json.loads((EXAMPLES / "import/shop.json").read_text()),
            "h1:39c5016110260b7a91a391bf0d53995c7d5b457501fbb556a586eed47aaeba13",
        ),
        (benchmark(), "h1:f6c9090d328357256a8846bb293156046e1a37a33c6a48e5f7093bb3f8cb5521"),
        (
            plain(parameters={"seed": 7, "stop": ["a", "b"], "temperature": 0.5}),
            "h1:672fbbf958ab83ae830b1e7af62f4dc076081448b762b2c698dcc89539ef1097",
        ),
        (
            plain(parameters={"stop": [COMPOSED[3:]]}),
            "h1:21928a4568eb2993726abe32c75fd9def9fa331fe5bf4746f135d7d7e782b119",
        ),
        (
            plain(
                policy={"on_paused": "wait", "max_concurrent": 3, "queue_timeout_seconds": 60, "min_success_rate": 1}
            ),
            "h1:5e88f987c26fe40b38118a41004f42168fbc273e83d4fea65ec5541b027391bf",
        ),
    ],
)
def test_specs_of_the_first_release_keep_their_hash(body, expected):
    assert read(body).spec_hash == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"policy": {"incomplete": "fail"}}, "h2:0bd8062166fe31cf188609c9cc4e6390b3963990435a05850c7d57e80b84d207"),
        (
            {"policy": {"incomplete": "retry", "max_attempts": 5}},
            "h2:7aeeb155012e3691d25d6d8e616aac3714b3f19f41139dffc262c3d6ebc84fec",
        ),
        (
            {"parameters": {"response_format": {"b": 1.0, "a": [2]}, "n": 1, "stop": None}},
            "h2:2c70d7156d639b8f7d7d341608a027b119ace228b844e1e1fe615a83d556cc06",
        ),
    ],
)
def test_hashes_of_the_second_version_never_change(changes, expected):
    """The expected hashes were made from JSON that was written out without our code."""
    assert read(plain(**changes)).spec_hash == expected


def test_the_policy_for_incomplete_answers_counts_unless_it_is_the_default():
    hashes = [read(plain(policy={"incomplete": choice})).spec_hash for choice in ("keep", "fail", "retry")]
    assert [digest[:3] for digest in hashes] == ["h1:", "h2:", "h2:"]
    assert hashes[0] == read(plain()).spec_hash
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("name", ["seed", "stop", "temperature", "top_k"])
def test_a_parameter_that_is_null_is_none(name):
    assert hash_with(**{name: None}) == hash_with() == read(plain()).spec_hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"response_format": SCHEMA}, {"response_format": TURNED}),
        ({"tools": [{"type": "function", "function": SCHEMA}]}, {"tools": [{"type": "function", "function": TURNED}]}),
        ({"stop": COMPOSED}, {"stop": APART}),
        ({"stop": ["a", COMPOSED]}, {"stop": ["a", APART]}),
        ({"logit_bias": {COMPOSED: 1}}, {"logit_bias": {APART: 1}}),
        ({"x": {"a": None}}, {"x": {}}),
    ],
)
def test_parameters_that_a_provider_distinguishes_have_different_hashes(one, other):
    assert hash_with(**one) != hash_with(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": {"b": 1.0, "c": 2}}, {"a": {"b": 1, "c": 2e0}}),
        ({"y": 1, "response_format": SCHEMA}, {"response_format": SCHEMA, "y": 1}),
        ({"response_format": SCHEMA, "seed": None}, {"response_format": SCHEMA}),
    ],
)
def test_parameters_that_a_provider_cannot_distinguish_have_the_same_hash(one, other):
    assert hash_with(**one) == hash_with(**other)
    assert hash_with(**one).startswith("h2:")


@given(flat, st.randoms(use_true_random=False))
def test_flat_parameters_are_h1_in_any_order_and_with_nulls(parameters, random):
    names = list(parameters)
    random.shuffle(names)
    given_ = {name: parameters[name] for name in names}
    spec = replace(read(plain()).spec, parameters=given_)
    sent = {name: value for name, value in parameters.items() if value is not None}
    identity = spec.to_json()
    counted = {name: identity[name] for name in ("kind", "models", "name", "policy", "questions")}
    text = json.dumps({**counted, "parameters": sent}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert spec_hash(spec) == "h1:" + sha256(text.encode()).hexdigest()


@given(nested, nested)
def test_two_nested_values_hash_alike_only_where_they_are_sent_alike(one, other):
    is_alike = json.dumps({"x": one}) == json.dumps({"x": other})
    spec = read(plain()).spec
    hashes = {spec_hash(replace(spec, parameters={"x": value})) for value in (one, other)}
    assert (len(hashes) == 1) == is_alike


def test_a_policy_field_that_came_later_counts_only_where_it_is_used(monkeypatch):
    """`timeout_seconds` stands in for a later field."""
    monkeypatch.setattr(fingerprint, "_LATER_POLICY", (("timeout_seconds", 300),))
    monkeypatch.setattr(fingerprint, "_H1_POLICY", tuple(f.name for f in fields(Policy) if f.name != "timeout_seconds"))
    hashes = [read(plain(policy={"timeout_seconds": seconds})).spec_hash for seconds in (300, 301)]
    assert [digest[:3] for digest in hashes] == ["h1:", "h2:"]
    assert read(plain()).spec_hash == hashes[0]


def test_every_policy_field_is_of_the_first_release_or_came_later():
    later = {name for name, _ in fingerprint._LATER_POLICY}
    assert later | set(fingerprint._H1_POLICY) == {field.name for field in fields(Policy)}


def test_bodies_that_differ_in_the_order_that_a_provider_sees_are_two():
    one, other = (plain(parameters={"response_format": schema}) for schema in (SCHEMA, TURNED))
    assert body_hash(one) != body_hash(other)
    assert differences(one, other) == ["/parameters/response_format"]
    assert body_hash({"jobspec": one}) != body_hash({"jobspec": other})


def test_bodies_that_differ_in_an_order_that_no_provider_sees_are_one():
    one = plain(parameters={"response_format": SCHEMA, "y": 1}, metadata={"a": 1, "b": APART})
    other = dict(reversed(plain(parameters={"y": 1.0, "response_format": SCHEMA}).items()))
    assert body_hash(one) == body_hash({**other, "metadata": {"b": COMPOSED, "a": 1}})


def test_a_body_is_compared_by_the_version_that_its_hash_was_stored_under():
    body = plain(parameters={"response_format": SCHEMA})
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert is_same_body("b1:" + sha256(text.encode()).hexdigest(), body)
    assert is_same_body(body_hash(body), body)
    assert not is_same_body(body_hash(body), plain(parameters={"response_format": TURNED}))
