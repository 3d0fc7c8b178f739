"""URLs of Redis: those that can be used are taken, and each other is refused with what to do."""

import pytest

from runtime.errors import SettingError
from runtime.settings import load_settings


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://:hush@10.0.0.1:6379/3",
        "rediss://user:hush@[::1]:6380/0?ssl_cert_reqs=none",
        "valkey://user:hush@valkey.internal",
        "valkeys://valkey.internal:6380?ssl_ca_certs=/etc/ca.pem&db=2",
        "unix:///run/valkey.sock?db=0",
        "unix://user:hush@/run/valkey.sock",
        "redis://user:p%2Fw%23%40@localhost:6379/0?client_name=breakwater&protocol=2",
    ],
)
def test_a_url_of_one_server_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BREAKWATER_REDIS_URL", url)
    assert load_settings().redis_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://:hush@h:26379/mymaster", "Sentinel.*the primary's own address"),
        ("rediss+sentinel://h1:26379,h2:26379/m", "Sentinel"),
        ("sentinel://h", "Sentinel"),
        ("valkey+sentinel://h", "Sentinel"),
        ("redis+cluster://:hush@h:6379", "Cluster.*isn't part of one"),
        ("redis-cluster://h", "Cluster"),
        ("redis://:hush@h1:6379,h2:6379/0", "several servers: name one"),
        ("http://:hush@h", "set it to redis://user:password"),
        ("h:6379", "set it to redis://"),
        ("redis://:hush@h:sixthousand/0", "no port from 1 to 65535"),
        ("redis://:hush@h:99999", "no port from 1 to 65535"),
        ("redis://user:hu/sh@h:6379/0", "%2F"),
        ("redis://user:1/hush@h:6379/0", "no number of a database"),
        ("redis://user:1?hush@h:6379/0", r"write / as %2F, \? as %3F"),
        ("redis://user:1?hush&x@h:6379/0", "# as %23"),
        ("redis://user:1#hush@h:6379/0", "# as %23"),
        ("redis:///0", "no host"),
        ("redis://:hush@h/cache", "no number of a database"),
        ("redis://h?db=hush", "no number of a database"),
        (
            "redis://h?decode_responses=true",
            "decode_responses, which isn't taken: leave it out. Taken are client_name, db",
        ),
        ("redis://h?max_connections=1", "max_connections, which isn't taken"),
        ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs, which is one of TLS: write rediss://"),
        ("unix://", "names no socket"),
    ],
)
def test_any_other_value_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch, url: str, said: str) -> None:
    monkeypatch.setenv("BREAKWATER_REDIS_URL", url)
    with pytest.raises(SettingError, match=f"^BREAKWATER_REDIS_URL .*{said}") as refused:
        load_settings()
    assert "hush" not in str(refused.value)
