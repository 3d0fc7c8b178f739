"""Hosts that a service answers as, and networks, as settings write them."""

import pytest

from domain.addresses import LOOPBACK_ONLY, is_loopback, read_hosts, read_networks, read_place

LOOPBACK = ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.255.0.9", "::1"]
ELSEWHERE = [
    "",
    "localhost.attacker.example",
    "127.0.0.1.attacker.example",
    "0.0.0.0",  # noqa: S104 (not bound)
    "::",
    "10.0.0.1",
    "127.1",
    "2130706433",
]


@pytest.mark.parametrize("name", LOOPBACK)
def test_a_loopback_name_or_address_is_one(name: str) -> None:
    assert is_loopback(name)
    assert LOOPBACK_ONLY.has(f"[{name}]:81" if ":" in name else f"{name}:81")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_only_looks_like_a_loopback_host_is_none(name: str) -> None:
    assert not is_loopback(name)
    assert not LOOPBACK_ONLY.has(f"[{name}]" if ":" in name else name)


@pytest.mark.parametrize(
    "host", ["jobs.example", "Jobs.Example.", "jobs.example:81", "192.0.2.7", "192.0.2.7:81", "[fd00:0::7]"]
)
def test_a_listed_host_is_one_with_any_port(host: str) -> None:
    assert read_hosts("other.example, jobs.example,192.0.2.7, fd00::7").has(host)


@pytest.mark.parametrize(
    "host",
    [
        "example",
        "a.jobs.example",
        "jobs.example.attacker.example",
        "192.0.2.8",
        "[fd00::8]",
        "[jobs.example]",
        "jobs.example:",
        "jobs.example:x",
        "user@jobs.example",
    ],
)
def test_others_are_none(host: str) -> None:
    assert read_hosts("jobs.example:81,192.0.2.7,fd00::7").has(host) is False


def test_a_port_that_is_listed_has_to_be_the_one() -> None:
    hosts = read_hosts("jobs.example:81,[fd00::7]:81,192.0.2.7:81")
    for name in ("jobs.example", "[fd00::7]", "192.0.2.7"):
        assert [hosts.has(f"{name}{port}") for port in (":81", ":82", "")] == [True, False, False]


def test_a_network_lists_addresses_and_no_names() -> None:
    hosts = read_hosts("172.16.0.0/12,fd00::/8")
    assert [hosts.has(host) for host in ("172.18.0.5:8000", "[fd00::7]:8000", "172.32.0.1", "jobs.example")] == [
        *(True, True),
        *(False, False),
    ]


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "*", "*.example", "a b", "http://a", "a/b", "10.0.0.1/8", "a:b", "[a]"]
)
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|network|host bits"):
        read_hosts(text)


@pytest.mark.parametrize("text", ["", "*", "proxy", "10.0.0.1/8", "10.0.0.1:80", "10.0.0.1,"])
def test_what_is_no_list_of_networks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|network|host bits"):
        read_networks(text)


def test_a_long_name_is_no_place() -> None:
    assert read_place("a" * 253) is not None
    assert read_place("a" * 254) is None
