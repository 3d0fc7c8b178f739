"""Canonical JSON, its hashes and where two values differ."""

import json
from dataclasses import replace

import pytest

from domain.fingerprint import body_hash, canonical_json, differences, identity_json, spec_hash
from domain.spec import Delivery, JobSpec
from tests.domain.bodies import plain, read

FULL = {
    "id": "golden",
    "name": "capitals",
    "models": [{"id": "b", "name": "B", "provider": "openai", "regions": ["EU", "US"]}, "a"],
    "regions": ["US", "eu-west"],
    "questions": ["What is 2+2?", {"id": "q-geo", "text": "Capital of Côte d'Ivoire?"}],
    "parameters": {"max_tokens": 500, "temperature": 0.1, "stop": ["\n"]},
    "policy": {"timeout_seconds": 30.5, "delivery": "at_most_once"},
}


def spec_of(body) -> JobSpec:
    """The spec of a body; `at_most_once` counts, though no body that asks for it is taken yet."""
    delivery = Delivery(body.get("policy", {}).get("delivery", "at_least_once"))
    spec = read({**body, "policy": {**body.get("policy", {}), "delivery": "at_least_once"}}).spec
    return replace(spec, policy=replace(spec.policy, delivery=delivery))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (plain(), "h1:8b6b6b25757aace244beb41a8651b0fd9961b69a177fd6fc15239424d3efeaf7"),
        (FULL, "h1:5e96a8c50e09241e2e246d3a2834fb0ec4697b8059d794f465f5999d81455b48"),
    ],
)
def test_the_hash_of_a_spec_never_changes(body, expected):
    assert spec_hash(spec_of(body)) == expected


def test_a_reading_comes_with_the_hash_of_its_spec():
    reading = read(plain())
    assert reading.spec_hash == spec_hash(reading.spec)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "b1:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        (FULL, "b1:aa14b911a604e96ae07d495df7493b98a5d196eb5adaa0ad6d182079dec93537"),
        ({"a": [1, 1.5, True, None, "é"]}, "b1:16dedf85c7b53a8d618b571eb01b9d5d2158fd39ab1e835f683a397fcca39c37"),
    ],
)
def test_the_hash_of_a_body_never_changes(body, expected):
    assert body_hash(body) == expected


def test_the_hashed_text_is_canonical_json_of_the_members_that_count():
    spec = spec_of(FULL)
    stated = spec.to_json()
    counted = {name: stated[name] for name in ("kind", "name", "parameters", "policy")}
    counted["models"] = sorted(
        ({**model, "regions": sorted(model["regions"])} for model in stated["models"]), key=lambda model: model["id"]
    )
    counted["questions"] = sorted(stated["questions"], key=lambda question: question["id"])
    assert identity_json(spec) == json.dumps(counted, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "other"},
        {"on_duplicate": "create"},
        {"metadata": {"team": "x"}},
        {"extensions": {"version": "1"}},
        {"regions": ["eu-west", "US"]},
        {"models": [FULL["models"][1], FULL["models"][0]]},
        {"questions": FULL["questions"][::-1]},
        {"parameters": {"stop": ["\n"], "temperature": 0.1, "max_tokens": 500}},
        {"policy": {"delivery": "at_most_once", "timeout_seconds": 30.5, "max_attempts": 3}},
        {"kind": "inference"},
    ],
)
def test_changes_without_effect_on_the_work_keep_the_hash(changes):
    assert spec_hash(spec_of({**FULL, **changes})) == spec_hash(spec_of(FULL))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Capitals"},
        {"regions": ["US", "EU", "ASIA"]},
        {"models": ["a"]},
        {"models": [{**FULL["models"][0], "name": "b"}, "a"]},
        {"models": [{**FULL["models"][0], "provider": "hybrid"}, "a"]},
        {"models": [{**FULL["models"][0], "regions": ["EU"]}, "a"]},
        {"questions": ["What is 2+2?"]},
        {"questions": ["What is 2+2?", {"id": "q-geo2", "text": "Capital of Côte d'Ivoire?"}]},
        {"questions": ["What is 2+3?", FULL["questions"][1]]},
        {"parameters": {"max_tokens": 501, "temperature": 0.1, "stop": ["\n"]}},
        {"parameters": {"max_tokens": 500, "temperature": 0.1, "stop": "\n"}},
        {"policy": {"timeout_seconds": 30.6, "delivery": "at_most_once"}},
        {"policy": {"timeout_seconds": 30.5}},
        {"policy": {**FULL["policy"], "max_concurrent": 1}},
    ],
)
def test_a_change_of_the_work_changes_the_hash(changes):
    assert spec_hash(spec_of({**FULL, **changes})) != spec_hash(spec_of(FULL))


def test_equal_seconds_have_one_hash():
    spec = read(plain()).spec
    assert spec_hash(replace(spec, policy=replace(spec.policy, timeout_seconds=300.0))) == spec_hash(spec)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (0, -0.0),
        (100, 1e2),
        (10**18, 1e18),
        ("é", "e\u0301"),
        ({"é": 1}, {"e\u0301": 1}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([{"b": 1, "a": [2.0]}], [{"a": [2], "b": 1}]),
    ],
)
def test_spellings_of_one_value_are_one(a, b):
    assert (canonical_json(a), differences(a, b)) == (canonical_json(b), [])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (1.0, True),
        (None, "null"),
        (None, 0),
        ([], {}),
        ("", None),
        (0.1, 0.10000000000000002),
        (2**53, 2**53 + 1),
        ("a", "a "),
        ([1, 2], [2, 1]),
        ({"a": None}, {}),
        ("ﬁ", "fi"),
    ],
)
def test_two_values_stay_two(a, b):
    assert canonical_json(a) != canonical_json(b)


@pytest.mark.parametrize(
    ("a", "b", "pointers"),
    [
        ({"a": 1}, {"a": 2}, ["/a"]),
        ({"a": 1}, {}, ["/a"]),
        ({"a": [1, 2, 3]}, {"a": [1, 5]}, ["/a/1", "/a/2"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["/a"]),
        ({"a/b": 1, "c~d": 1}, {}, ["/a~1b", "/c~0d"]),
        (1, True, [""]),
        ({"a": False}, {"a": 0}, ["/a"]),
        ({"models": ["a"], "name": "x"}, {"models": ["a"], "name": "x"}, []),
    ],
)
def test_differences_are_pointers(a, b, pointers):
    assert differences(a, b) == pointers


def test_differences_are_bounded():
    assert len(differences({str(number): 1 for number in range(500)}, {})) == 20
