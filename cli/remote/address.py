"""Which service a command asks, and with which key: from its options and its environment."""

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from cli.remote.errors import WrongUse
from domain.api_keys import read_key
from runtime.secret_files import Unreadable, read_variable

URL_VARIABLE = "BREAKWATER_URL"
KEY_VARIABLE = "BREAKWATER_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A service's URL without a slash at its end, and the key for it, which is never shown."""

    url: str
    key: str | None = field(repr=False)
    is_default: bool

    @property
    def host(self) -> str:
        """The host that the URL names."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_encrypted(self) -> bool:
        """Whether requests go over TLS."""
        return self.url.startswith("https:")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def key_id(self) -> str | None:
        """The id of an API key, which may be shown; None without a key, and for another kind of token."""
        found = read_key(self.key or "")
        return found.id if found else None

    @property
    def option(self) -> str:
        """The option that names this service in a command that is suggested; empty where none is needed."""
        return "" if self.is_default else f" --url {self.url}"


def read_address(given: str | None) -> Address:
    """Return the service of `--url`, else of BREAKWATER_URL, else of this machine. Raises WrongUse for a wrong one."""
    from_environment = os.environ.get(URL_VARIABLE) or None
    text = given or from_environment or DEFAULT_URL
    name = "--url" if given else URL_VARIABLE
    return Address(_checked_url(text, name), _read_key(), is_default=given is None)


def _checked_url(text: str, name: str) -> str:
    wanted = f"give {name} the address of the service, such as https://breakwater.example.com"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise WrongUse(f"{name} is no URL: {wanted}.") from None
    if parts.scheme not in ("http", "https") or not host or not _VISIBLE.fullmatch(text):
        raise WrongUse(f"{name} is no URL of http or https: {wanted}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise WrongUse(f"{name} has an account, a query or a fragment: {wanted}; a key belongs in {KEY_VARIABLE}.")
    return text.rstrip("/")


def _read_key() -> str | None:
    try:
        key = read_variable(KEY_VARIABLE, os.environ)
    except Unreadable as error:
        raise WrongUse(str(error)) from None
    if key is None:
        return None
    key = key.strip()
    if not _VISIBLE.fullmatch(key):  # the client's error would show it
        raise WrongUse(f"{KEY_VARIABLE} is no key: it is empty, or has spaces or other characters that no key has.")
    return key
