"""Parts of keys that are equal in their source but spelled differently, and their shared spelling."""

import re
from enum import StrEnum

_FRACTION = re.compile(r"-?\d+\.\d+")


class KeyForm(StrEnum):
    """The ways in which equal values of a key's column may be spelled."""

    EXACT = "exact"
    """In one way: equal values have the same text."""
    DIGITS = "digits"
    """Decimal numbers: `1.0` and `1.00` are equal."""
    PADDED = "padded"
    """Text of `character(n)`: blanks at its end don't count."""
    FLOAT = "float"
    """Floats: `-0.0` and `0.0` are equal."""


MAY_BE_RESPELLED = {KeyForm.DIGITS: "%.%0%", KeyForm.PADDED: "% %", KeyForm.FLOAT: "%-0.0%"}
"""LIKE patterns by form: a key whose text matches may not have the shared spelling."""


def shared_digits(text: str) -> str:
    """Return a decimal number without zeros at the end of its fraction, and without the sign of zero."""
    if _FRACTION.fullmatch(text):
        text = text.rstrip("0").removesuffix(".")
    return "0" if text == "-0" else text


def shared_spelling(text: str, form: KeyForm) -> str:
    """Return the shared spelling of all values that are equal to a key's part."""
    match form:
        case KeyForm.DIGITS:
            return shared_digits(text)
        case KeyForm.PADDED:
            return text.rstrip(" ")
        case KeyForm.FLOAT:
            return "0.0" if text == "-0.0" else text
        case KeyForm.EXACT:
            return text
