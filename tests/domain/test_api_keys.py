"""API keys: a key that was copied wrongly is recognized without a look-up."""

import re
import secrets
import zlib

import pytest

from domain.api_keys import SECRET_BYTES, make_id, make_key, read_key
from domain.durations import seconds_of

KEY = make_key(make_id(123456789), bytes(range(SECRET_BYTES)))
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_key_has_the_form_that_scanners_look_for():
    assert re.fullmatch("bw_[0-9a-z]{12}_[0-9A-Za-z]{49}", KEY.text)
    assert KEY.text.split("_")[1] == KEY.id


def test_a_key_ends_with_its_checksum():
    """Computed anew: CRC-32 of all before, in base 62 with the digits 0-9, A-Z, a-z."""
    checked, checksum = KEY.text[:-6], KEY.text[-6:]
    number = 0
    for character in checksum:
        number = number * 62 + CHARACTERS.index(character)
    assert number == zlib.crc32(checked.encode())


def test_a_key_is_read_as_it_was_made():
    for _ in range(200):
        key = make_key(make_id(secrets.randbits(128)), secrets.token_bytes(SECRET_BYTES))
        assert read_key(key.text) == key


def test_any_one_wrong_character_is_noticed():
    for place in range(len(KEY.text)):
        for other in "aZ7":
            if KEY.text[place] != other:
                assert read_key(KEY.text[:place] + other + KEY.text[place + 1 :]) is None


def test_two_swapped_characters_are_noticed():
    for place in range(len(KEY.text) - 1):
        swapped = KEY.text[:place] + KEY.text[place + 1] + KEY.text[place] + KEY.text[place + 2 :]
        assert (read_key(swapped) is None) == (swapped != KEY.text)


@pytest.mark.parametrize("text", ["", "bw_", KEY.text[:-1], KEY.text + "0", KEY.text.upper(), " " + KEY.text, "x" * 67])
def test_another_form_is_no_key(text):
    assert read_key(text) is None


def test_a_key_isnt_shown_by_chance():
    assert KEY.text not in repr(KEY)


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("15m", 900), ("30s", 30)])
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1w", "1d ", "1 d", "1d\n", "100000d"])
def test_another_text_is_no_duration(text):
    with pytest.raises(ValueError):
        seconds_of(text)
