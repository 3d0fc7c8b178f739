from hypothesis import given
from hypothesis import strategies as st

from domain.outcome import BACKOFF_CAP_SECONDS, backoff_seconds, is_forgiven, storable, unavailable_backoff_seconds


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_becomes_storable(text):
    stored = storable(text)

    assert "\0" not in stored
    assert stored.encode("utf-8").decode("utf-8") == stored


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_storable_text_is_left_alone(text):
    assert storable(text) == text


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_wait_has_full_jitter_and_a_cap(attempts, jitter):
    assert backoff_seconds(attempts, 0.0) == 0
    assert 0 <= backoff_seconds(attempts, jitter) <= BACKOFF_CAP_SECONDS


def test_waits_double_until_the_cap():
    waits = [backoff_seconds(attempts, 1.0) for attempts in range(1, 10)]

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == BACKOFF_CAP_SECONDS


def test_an_unavailable_source_is_waited_for_about_as_long_as_it_was_up_to_a_bound() -> None:
    waits = [unavailable_backoff_seconds(away, 1.0) for away in (None, 0.0, 1.0, 5.0, 14.0, 299.0)]
    assert waits == [1, 1, 2, 6, 15, 15]
    assert [unavailable_backoff_seconds(away, 0.0) for away in (None, 299.0)] == [0.5, 7.5]


def test_tries_that_find_a_source_unavailable_are_forgiven_for_five_minutes() -> None:
    assert [is_forgiven(away) for away in (None, 0.0, 299.0, 300.0)] == [True, True, True, False]
