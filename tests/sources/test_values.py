import datetime as dt
import json
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.values import CONVERT, Kind, NotJson, parse_json, to_json_value, to_rows


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (1.5, 1.5),
        (Decimal("12.340"), "12.340"),
        (Decimal("1E+30"), "1000000000000000000000000000000"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.UTC), "2024-02-29T01:02:03.000004+00:00"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(days=1, seconds=2, milliseconds=500), "P1DT2.5S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "AP8="),
        ({1: [Decimal("1.0"), (2, None)], "a": {"b": b""}}, {"1": ["1.0", [2, None]], "a": {"b": ""}}),
    ],
)
def test_values_become_json_without_loss(value, wanted):
    assert to_json_value(value) == wanted
    assert type(json.loads(json.dumps(to_json_value(value)))) is type(wanted)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("-Infinity"),
        "a\0b",
        {"a\0": 1},
        ["\ud800"],
        [[float("inf")]],
        object(),
        {1j: 1},
    ],
)
def test_values_that_json_or_the_database_cannot_hold_are_refused(value):
    with pytest.raises(NotJson):
        to_json_value(value)


def test_nesting_without_end_is_refused():
    value = []
    for _ in range(200):
        value = [value]
    with pytest.raises(NotJson, match="nested deeper"):
        to_json_value(value)


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": 1, "a": 2}', '{"a"', '["\\u0000"]', '"\\ud800"', "[1e400]", "-Infinity", "", "[" * 10_000],
)
def test_bad_json_is_refused(text):
    with pytest.raises(NotJson):
        parse_json(text)


def test_long_integers_of_json_keep_their_digits():
    assert parse_json('{"n": 123456789012345678901234567890, "m": [9223372036854775808]}') == {
        "n": "123456789012345678901234567890",
        "m": ["9223372036854775808"],
    }


# Surrogates are no text, and NUL is refused.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates are no text; NUL is refused.
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(json_values)
def test_json_that_can_be_kept_is_kept_as_it_is(value):
    assert parse_json(json.dumps(value)) == value
    assert to_json_value(value) == value


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00.5", "2024-01-01T10:00:00.5"),
        ("2024-01-01 10:00:00+00", "2024-01-01T10:00:00+00:00"),
        ("10:00:00+02", "10:00:00+02:00"),
        ("10:00:00", "10:00:00"),
    ],
)
def test_moments_become_iso_8601(given_, wanted):
    assert CONVERT[Kind.MOMENT](given_) == wanted


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "0044-03-15 (BC)", "20000-01-01"])
def test_moments_outside_our_years_are_refused(moment):
    with pytest.raises(NotJson):
        CONVERT[Kind.MOMENT](moment)


def test_a_defect_names_its_column_and_leaves_the_other_values():
    rows = to_rows(
        [(1, "NaN", 2.0), (2, "1.5", float("inf")), (3, None, None)],
        names=["id", "amount", "rate"],
        kinds=[Kind.PLAIN, Kind.NUMBER, Kind.FLOAT],
        positions=[7, 8, 9],
    )
    assert rows[0][:3] == (7, {"id": 1, "rate": 2.0}, "amount is NaN, which JSON has no word for")
    assert rows[1][:3] == (8, {"id": 2, "amount": "1.5"}, "rate is inf, which JSON has no word for")
    assert rows[2][:3] == (9, {"id": 3, "amount": None, "rate": None}, None)
