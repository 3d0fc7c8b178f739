"""What identifies a session of pages: the secret in a browser's cookie, and what is derived from it. No I/O."""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256

SECRET_BYTES = 32
_FORM = re.compile(r"[0-9A-Za-z_-]{43}")


@dataclass(frozen=True, slots=True)
class SessionSecret:
    """The value of a session's cookie, which nobody but the browser may learn."""

    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the text, by which a session is stored and found: 256 random bits need no slower hash."""
        return sha256(self.text.encode()).digest()

    @property
    def csrf_token(self) -> str:
        """What pages of the session send with whatever changes something. It doesn't tell the secret."""
        return derived(self.text, "csrf token")

    def has_csrf_token(self, given: str) -> bool:
        """Return whether this is the session's token."""
        return hmac.compare_digest(self.csrf_token.encode(), given.encode())


def make_secret(random_bytes: bytes) -> SessionSecret:
    """Return the secret of SECRET_BYTES random bytes."""
    return SessionSecret(_encoded(random_bytes))


def read_secret(text: str) -> SessionSecret | None:
    """Return the secret that a cookie holds, None if it has another form."""
    return SessionSecret(text) if _FORM.fullmatch(text) else None


def derived(secret: str, purpose: str) -> str:
    """Return a text of 256 bits that depends on a secret and a purpose, and tells nothing of the secret."""
    return _encoded(hmac.digest(secret.encode(), purpose.encode(), "sha256"))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
