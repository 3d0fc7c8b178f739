"""Sealed numbers: what PostgreSQL counts over all tenants, as one tenant sees it.

A seal is a secret permutation for each tenant and kind of number, so its values tell neither how many others there are
nor which came first. It is a Feistel network with keyed BLAKE2b as its round function (Luby and Rackoff, 1988).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

HALF_BITS = 25
HALF = (1 << HALF_BITS) - 1
LOWEST_SEALED = 1 << 2 * HALF_BITS
"""A sealed number is at least this, and less than twice this, which JSON holds exactly; other numbers are below."""
ROUNDS = range(10)


class Numbered(StrEnum):
    """The kinds of things that are numbered over all tenants."""

    JOB = "job"
    SUBMISSION = "submission"
    TRIGGER = "trigger"
    DEAD_LETTER = "dead_letter"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Seal:
    """The permutations of a tenant, under the secret of the installation."""

    secret: bytes
    tenant_no: int


@lru_cache(maxsize=4096)  # a page shows one job's number many times
def seal_number(seal: Seal, kind: Numbered, number: int, beside: int | None = None) -> int:
    """Return how the tenant sees a number, which is below LOWEST_SEALED.

    Beside another number it is another permutation: whoever sees it twice can't tell that it is the same.
    """
    left, right = divmod(number, HALF + 1)
    for index in ROUNDS:
        left, right = right, left ^ _mixed(seal, kind, beside, index, right)
    return LOWEST_SEALED + (left << HALF_BITS | right)


def unseal_number(seal: Seal, kind: Numbered, shown: int, beside: int | None = None) -> int | None:
    """Return the number that the tenant sees as `shown`; None for one that isn't sealed."""
    left, right = divmod(shown - LOWEST_SEALED, HALF + 1)
    if not 0 <= left <= HALF:
        return None
    for index in reversed(ROUNDS):
        left, right = right ^ _mixed(seal, kind, beside, index, left), left
    return left << HALF_BITS | right


def _mixed(seal: Seal, kind: Numbered, beside: int | None, index: int, half: int) -> int:
    permutation = kind if beside is None else f"{kind} {beside}"
    message = f"{permutation} {seal.tenant_no} {index} {half}".encode()
    return int.from_bytes(blake2b(message, digest_size=4, key=seal.secret).digest()) & HALF
