"""A seal is a permutation of its own for each tenant and kind, and keeps no order."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.sealing import LOWEST_SEALED, Numbered, Seal, seal_number, unseal_number

SEAL = Seal(b"0123456789abcdef0123456789abcdef", 1)
NUMBERS = st.integers(0, LOWEST_SEALED - 1)
LARGEST_IN_JSON = 2**53


@given(NUMBERS, st.sampled_from(Numbered))
def test_a_sealed_number_is_unsealed_again_and_fits_json(number: int, kind: Numbered) -> None:
    shown = seal_number(SEAL, kind, number)
    assert unseal_number(SEAL, kind, shown) == number
    assert LOWEST_SEALED <= shown < LARGEST_IN_JSON


@given(NUMBERS)
def test_a_number_that_is_not_sealed_is_told_apart(number: int) -> None:
    assert unseal_number(SEAL, Numbered.JOB, number) is None


@given(st.integers(2 * LOWEST_SEALED, 2**63 - 1))
def test_a_number_beyond_all_sealed_ones_is_none(number: int) -> None:
    assert unseal_number(SEAL, Numbered.JOB, number) is None


def test_tenants_kinds_and_installations_see_different_numbers() -> None:
    other_tenant, other_secret = Seal(SEAL.secret, 2), Seal(SEAL.secret[::-1], 1)
    shown = [seal_number(seal, Numbered.JOB, 7) for seal in (SEAL, other_tenant, other_secret)]
    shown += [seal_number(SEAL, kind, 7) for kind in Numbered if kind is not Numbered.JOB]
    assert len(set(shown)) == len(shown)


def test_neither_order_nor_distance_shows() -> None:
    shown = [seal_number(SEAL, Numbered.JOB, number) for number in range(1_000)]
    steps = [after - before for before, after in pairwise(shown)]
    assert len(set(shown)) == len(shown)
    assert len(set(steps)) == len(steps)
    rising = sum(step > 0 for step in steps)
    assert 400 < rising < 600
    assert max(shown) - min(shown) > LOWEST_SEALED * 0.9
