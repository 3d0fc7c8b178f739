"""Checking the URL of Redis, with a remedy for each error. Connects to nothing."""

from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
WANTED = "redis://user:password@host:port/0, with rediss:// for TLS; valkey:// and valkeys:// are the same"
OPTIONS = frozenset(("client_name", "db", "password", "protocol", "username"))
TLS_OPTIONS = frozenset(
    ("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
)

NOT_ENCODED = (
    "has a user or a password with a character that must be encoded: write / as %2F, ? as %3F, # as %23, @ as %40."
)


def fault(url: str) -> str | None:
    """Return the error in a URL and its remedy, as the end of a sentence; None for a valid URL.

    Only names of options are repeated from the URL: it may hold a password.
    """
    scheme = url.partition("://")[0].lower()
    if "sentinel" in scheme:
        return (
            "names a Redis Sentinel, which isn't asked: set it to the primary's own address, such as "
            "redis://primary:6379/0, or to a name or a proxy that follows the primary."
        )
    if "cluster" in scheme:
        return "names a Redis Cluster, which isn't supported: set it to a server that isn't part of one."
    if scheme not in SCHEMES:
        return f"isn't a URL of this kind: set it to {WANTED}, or unset it."
    parts = urlsplit(url)
    if parts.fragment:
        return NOT_ENCODED
    return _wrong_place(parts) or _wrong_option(parts)


def _wrong_place(parts: SplitResult) -> str | None:
    if "," in parts.netloc.rpartition("@")[2]:
        return "names several servers: name one, or a name or a proxy that follows the primary."
    if parts.scheme == "unix":
        return None if parts.path.strip("/") else "names no socket: set it to unix:///path/of/the/socket?db=0."
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    if not is_port:
        return f"has no port from 1 to 65535 behind its host: correct it, or it {NOT_ENCODED}"
    if not parts.hostname:
        return f"names no host: set it to {WANTED}."
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        return "has a path that is no number of a database: set it to one such as /0."
    return None


def _wrong_option(parts: SplitResult) -> str | None:
    taken = OPTIONS | TLS_OPTIONS if parts.scheme in {"rediss", "valkeys"} else OPTIONS
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in TLS_OPTIONS - taken:
            return f"has the option {name}, which is one of TLS: write rediss:// for redis://, or leave it out."
        if name not in taken and "@" in parts.query:
            return NOT_ENCODED
        if name not in taken:
            return f"has the option {name}, which isn't taken: leave it out. Taken are {', '.join(sorted(taken))}."
        if name == "db" and not value.isdecimal():
            return "has an option db that is no number of a database: set it to one such as 0."
    return None
