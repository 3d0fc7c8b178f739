"""Secrets in text, by their form: keys that are known by theirs, and what stands as a secret in a URL or a header.

The forms are those that the issuers of keys publish for scanners. Each pattern reads a text in time that grows with it.
"""

import base64
import re

REDACTED = "[redacted]"
TOKEN_CHARACTERS = 16
"""No text that `hide_tokens` changes is shorter."""
_SIGNS_OF_TOKENS = ("-", "_", "eyJ", "AKIA", "ASIA", "AIza", "SG.", "ya29.", "EAA", "hvs.", "SK", "AC", "1//0")
"""Each form has one of these: most texts of a body aren't searched any further."""
_TOKENS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        sk-(?=[A-Za-z_-]{0,40}+[0-9])[A-Za-z0-9_-]{16,}
      | [rs]k_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[A-Za-z0-9+/=]{24,}
      | bw_[0-9a-z]{12}_[0-9A-Za-z]{20,}
      | gh[opsur]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
      | gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent)-[A-Za-z0-9_-]{20,}
      | npm_[A-Za-z0-9]{30,} | pypi-Ag[A-Za-z0-9_-]{40,} | rubygems_[0-9a-f]{40,} | dckr_[op]at_[A-Za-z0-9_-]{20,}
      | do[opr]_v1_[0-9a-f]{40,} | shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{24,} | sq0[a-z]{3}-[A-Za-z0-9_-]{20,}
      | (?:AKIA|ASIA)[0-9A-Z]{16}
      | AIza[0-9A-Za-z_-]{35} | GOCSPX-[A-Za-z0-9_-]{20,} | ya29\.[A-Za-z0-9_.-]{20,} | 1//0[A-Za-z0-9_-]{30,}
      | hf_[A-Za-z0-9]{30,} | gsk_[A-Za-z0-9]{20,} | xai-[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{30,}
      | pplx-[A-Za-z0-9]{40,} | nvapi-[A-Za-z0-9_-]{40,} | tgp_v1_[A-Za-z0-9_-]{30,} | lsv2_[ps][kt]_[0-9a-f]{20,}
      | xox[abeprs]-[A-Za-z0-9-]{16,} | xapp-[0-9]-[A-Za-z0-9-]{16,}
      | SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,}
      | hvs\.[A-Za-z0-9_-]{24,}
      | (?:AC|SK)[0-9a-f]{32}(?![A-Za-z0-9])
      | (?<![+/])EAA[A-Za-z0-9]{60,}
      | (?<![_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    )
    | -----BEGIN\ (?:[A-Z0-9]{1,20}\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----
      (?=(?:[\s"'`+,]|\\[nrt]){0,40}(?:[A-Za-z0-9+/]{12}|[A-Z][A-Za-z-]{2,20}:\ ))  # not where a text tells of one
      (?:.*?-----END\ (?:[A-Z0-9]{1,20}\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----|.*)
    """,
    re.VERBOSE | re.DOTALL,
)
_END_OF_KEY = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\ \r\n"
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{40}")
_LONGEST_KEY = 8192
_PASSWORD_IN_URL = re.compile(
    r"://(?P<user>[^\s/?#@:\"']*):"
    r"(?:(?P<password>[^\s\"'/?#]*)@|(?P<rest>(?:[^\s\"':@]++|:(?!//))*+@(?:[^\s\"':]++|:(?!//))*+))"
)
_STANDS_FOR_PASSWORD = re.compile(r"[<{]|\$\{|\*+$")
"""As in `<password>`, `${PASSWORD}` and `***`."""
_PORT = re.compile(r"\d{1,5}[/?#]")
_DATABASES = (
    *("postgres", "postgresql", "mysql", "mariadb", "mongodb", "redis", "rediss", "valkey", "valkeys"),
    *("amqp", "amqps", "mssql", "clickhouse"),
)
_DRIVER = re.compile(r"\w+")
_LONGEST_SCHEME = 24
_BEFORE_LAST_HOST = re.compile(r".*@(?=[A-Za-z0-9\[])", re.DOTALL)
_PASSWORD_BEFORE_HOST = re.compile(r"(?<=[\w.-]:)[^\s@:\"']{1,256}+(?=@(?:tcp|unix)\()")
"""As drivers of MySQL spell it: `user:password@tcp(host:3306)/database`."""
_HOOK = re.compile(
    r"(?P<before>://(?:hooks\.slack\.com/[a-z]{1,20}/|discord(?:app)?\.com/api/webhooks/[0-9]{1,20}/))[\w/-]{20,}"
)
_SIGNS_OF_HEADERS = ("uthorization", "UTHORIZATION", "pi-key", "pi-Key", "PI-KEY", "te-token", "TE-TOKEN")
_HEADER = re.compile(
    r"(?P<before>\b(?:authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?[a-z]{1,20}\s{1,3}"
    r"|(?:x-|x-goog-)?api-key[\"']?:\s{0,3}[\"']?|private-token[\"']?:\s{0,3}[\"']?"
    r"|bearer\s{1,3}(?=[^\s0-9]{0,40}+[0-9])))"
    r"[A-Za-z0-9._~+/=_-]{8,}",
    re.IGNORECASE,
)
_BASIC = re.compile(r"(?P<before>\b[Bb]asic )(?P<given>[A-Za-z0-9+/]{8,400}={0,2})(?![A-Za-z0-9+/=])")


def hide_tokens(text: str) -> str:
    """Return the text without keys that are known by their form."""
    if len(text) < TOKEN_CHARACTERS or not _has_any(text, _SIGNS_OF_TOKENS):
        return text
    hidden = _TOKENS.sub(REDACTED, text)
    return _without_beginnings(hidden) if "-----END " in hidden else hidden


def hide_places(text: str, secret_parameter: re.Pattern[str]) -> str:
    """Return the text without what stands as a secret in a URL or a header.

    `secret_parameter` matches a URL's secret parameter. Its group `before` is all but the value.
    """
    if "://" in text:
        text = _PASSWORD_IN_URL.sub(_hidden_password, text)
        text = _HOOK.sub(rf"\g<before>{REDACTED}", text)
    if "@tcp(" in text or "@unix(" in text:
        text = _PASSWORD_BEFORE_HOST.sub(REDACTED, text)
    if "=" in text:
        text = secret_parameter.sub(_hidden_after, text)
    if "earer " in text or (":" in text and _has_any(text, _SIGNS_OF_HEADERS)) or "uthorization=" in text:
        text = _HEADER.sub(rf"\g<before>{REDACTED}", text)
    if "asic " in text:
        text = _BASIC.sub(_hidden_basic, text)
    return text


def _has_any(text: str, signs: tuple[str, ...]) -> bool:
    for sign in signs:  # noqa: SIM110 - a generator takes three times as long, for every text of a body
        if sign in text:
            return True
    return False


def _without_beginnings(text: str) -> str:
    """Return the text without private keys whose beginning was cut off: lines of Base64 before their end."""
    parts, at = [], 0
    for end in _END_OF_KEY.finditer(text):
        begin = max(at, end.start() - _LONGEST_KEY)
        before = text[begin : end.start()]
        lines = _KEY_LINE.search(before, len(before.rstrip(_KEY_CHARACTERS)))
        if lines is not None:
            parts += [text[at:begin], before[: lines.start()], REDACTED]
            at = end.end()
    return "".join([*parts, text[at:]])


def _hidden_after(found: re.Match[str]) -> str:
    return f"{found['before']}{REDACTED}"


def _hidden_password(found: re.Match[str]) -> str:
    user, password, rest = found.groups()
    if rest is None:
        return found[0] if _is_none(password) else f"://{user}:{REDACTED}@"
    if _PORT.match(rest) and not _is_of_database(found):
        return found[0]
    before = _BEFORE_LAST_HOST.match(rest)
    if before is None or _is_none(before[0][:-1]):
        return found[0]
    return f"://{user}:{REDACTED}{rest[before.end() - 1 :]}"


def _is_none(password: str) -> bool:
    return not password or (password[0] in "<{$*" and _STANDS_FOR_PASSWORD.match(password) is not None)


def _is_of_database(found: re.Match[str]) -> bool:
    """Say whether a URL is a database's, in which no path holds an `@`; its parameters may."""
    begins = found.start()
    scheme = found.string[max(0, begins - _LONGEST_SCHEME) : begins]
    if not scheme.endswith(_DATABASES):
        name, _, driver = scheme.rpartition("+")
        if not name.endswith(_DATABASES) or not _DRIVER.fullmatch(driver):
            return False
    return "?" not in found["rest"].partition("@")[0]


def _hidden_basic(found: re.Match[str]) -> str:
    """Hide credentials as HTTP's Basic scheme encodes them: a name, a colon and a password."""
    try:
        decoded = base64.b64decode(found["given"], validate=True).decode()
    except ValueError:
        return found[0]
    return f"{found['before']}{REDACTED}" if ":" in decoded and decoded.isprintable() else found[0]
