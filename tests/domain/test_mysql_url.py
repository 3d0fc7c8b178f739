"""URLs of MySQL servers: their parts, and the errors of invalid URLs, which show no value."""

import pytest

from domain.mysql_url import MysqlUrl, TlsMode, WrongMysqlUrl, parse_mysql_url

PLAIN = MysqlUrl("host", 3306, "app", "secret", "shop", None, TlsMode.PREFERRED, None, None, None)


def parsed(text):
    url = parse_mysql_url(text)
    return {name: getattr(url, name) for name in PLAIN.__slots__ if getattr(url, name) != getattr(PLAIN, name)}


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("mysql://app:secret@host/shop", {}),
        ("mariadb://app:secret@host:3306/shop", {}),
        ("mysql://app:secret@host:33/", {"port": 33, "database": None}),
        ("mysql://app@host/shop", {"password": ""}),
        ("mysql://a%2Fb:p%40%3Aw@[::1]/s%20p", {"user": "a/b", "password": "p@:w", "host": "::1", "database": "s p"}),
        ("mysql://app:secret@/shop?socket=/run/my.sock", {"host": "localhost", "socket": "/run/my.sock"}),
        ("mysql://app:secret@host/shop?ssl-mode=VERIFY_IDENTITY", {"tls": TlsMode.VERIFY_IDENTITY}),
        ("mysql://app:secret@host/shop?ssl-ca=/ca.pem", {"tls": TlsMode.VERIFY_CA, "ca": "/ca.pem"}),
        (
            "mysql://app:secret@host/shop?ssl-mode=required&ssl-cert=/c&ssl-key=/k",
            {"tls": TlsMode.REQUIRED, "certificate": "/c", "key": "/k"},
        ),
    ],
)  # fmt: skip
def test_a_url_says_where_as_whom_and_by_which_tls(text, differs):
    assert parsed(text) == differs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "doesn't begin with mysql://"),
        ("postgresql://app:geheim@host/shop", "doesn't begin with mysql://"),
        ("mysql://host/shop", "names no user"),
        ("mysql://app:geheim@/shop", "names no host"),
        ("mysql://app:geheim@host:port/shop", "host or port"),
        ("mysql://app:geheim@[host/shop", "host or port"),
        ("mysql://app:geheim@host/shop?ssl_mode=required", "there are ssl-mode"),
        ("mysql://app:geheim@host/shop?ssl-mode=geheim", "ssl-mode is none of"),
        ("mysql://app:12?geheim@host/shop", "there are ssl-mode"),
        ("mysql://app:p@ss?geheim@host/shop", "there are ssl-mode"),
    ],
)
def test_an_invalid_url_is_explained_without_its_password(text, words):
    with pytest.raises(WrongMysqlUrl, match=words) as wrong:
        parse_mysql_url(text)
    assert "geheim" not in str(wrong.value)


def test_a_url_that_is_printed_shows_no_password():
    assert "geheim" not in repr(parse_mysql_url("mysql://app:geheim@host/shop"))
