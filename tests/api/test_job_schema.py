"""The description of an inference job has the fields, defaults and bounds that the domain reads by."""

from dataclasses import fields
from typing import Any

import pytest

from api.schemas.submissions import JOB_SUBMISSION
from domain.spec import Policy
from tests.domain.bodies import plain, read, refusals

POLICY: dict[str, Any] = JOB_SUBMISSION["properties"]["policy"]["properties"]
BOUNDED = [name for name, member in POLICY.items() if "minimum" in member]


def test_a_policy_is_described_with_its_fields_and_defaults() -> None:
    assert list(POLICY) == [field.name for field in fields(Policy)]
    default = Policy()
    assert {name: member.get("default") for name, member in POLICY.items()} == {
        name: getattr(default, name) for name in POLICY
    }


@pytest.mark.parametrize("name", BOUNDED)
def test_a_value_is_taken_up_to_the_described_bounds_and_not_beyond(name: str) -> None:
    member = POLICY[name]
    for bound, beyond in ((member["minimum"], -1), (member["maximum"], 1)):
        assert getattr(read(plain(policy={name: bound})).spec.policy, name) == bound
        assert [code for _, code in refusals(plain(policy={name: bound + beyond}))] == ["out_of_range"]


@pytest.mark.parametrize("name", sorted(POLICY.keys() - set(BOUNDED)))
def test_exactly_the_described_choices_are_taken(name: str) -> None:
    for choice in POLICY[name]["enum"]:
        assert getattr(read(plain(policy={name: choice})).spec.policy, name) == choice
    assert len(refusals(plain(policy={name: "another"}))) == 1
