"""The form of API keys: `bw_<id>_<secret>`. A key shows by itself whether it was copied right. No I/O.

The id has 12 characters of a-z and 0-9. The secret has 43 characters of 0-9, A-Z and a-z that encode 256 random bits,
then 6 that encode the CRC-32 of all before them. Scanners for secrets find keys by `bw_[0-9a-z]{12}_[0-9A-Za-z]{49}`.
"""

import re
import string
from dataclasses import dataclass, field
from hashlib import sha256
from zlib import crc32

KEY_PREFIX = "bw_"
ID_LENGTH = 12
SECRET_BYTES = 32
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_DIGITS = string.digits + string.ascii_lowercase
_RANDOM_LENGTH, _CHECKSUM_LENGTH = 43, 6
_FORM = re.compile(r"(?P<checked>bw_(?P<id>[0-9a-z]{12})_[0-9A-Za-z]{43})(?P<checksum>[0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed key: its id, which may be shown, and its whole text, which may not."""

    id: str
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The digest of the text."""
        return digest_of(self.text)


def digest_of(text: str) -> bytes:
    """Return the SHA-256 of a key's text, by which keys are stored and found: 256 random bits need no slower hash."""
    return sha256(text.encode()).digest()


def make_id(random_number: int) -> str:
    """Return the id for a random number."""
    return _encode(random_number % len(_ID_DIGITS) ** ID_LENGTH, _ID_DIGITS, ID_LENGTH)


def make_key(key_id: str, secret: bytes) -> ApiKey:
    """Return the key with this id and a secret of SECRET_BYTES random bytes."""
    checked = f"bw_{key_id}_{_encode(int.from_bytes(secret), _DIGITS, _RANDOM_LENGTH)}"
    return ApiKey(key_id, checked + _checksum(checked))


def read_key(text: str) -> ApiKey | None:
    """Return the key in a text; None if the text has another form, or its checksum shows an error."""
    match = _FORM.fullmatch(text)
    if match is None or match["checksum"] != _checksum(match["checked"]):
        return None
    return ApiKey(match["id"], text)


def _checksum(checked: str) -> str:
    return _encode(crc32(checked.encode()), _DIGITS, _CHECKSUM_LENGTH)


def _encode(number: int, digits: str, length: int) -> str:
    encoded = ""
    for _ in range(length):
        number, digit = divmod(number, len(digits))
        encoded = digits[digit] + encoded
    return encoded
