"""Hosts and networks: which are this machine, and which are listed by the settings that name hosts and proxies."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_LONGEST_NAME = 253
_PLACE = re.compile(r"(?P<name>\w[\w.-]*|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?", re.ASCII)


class Place(NamedTuple):
    """A name or an address in its usual spelling, and a port; "" is any port, or the scheme's own."""

    name: str
    port: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """Hosts that a service answers as, besides loopback names and addresses."""

    places: frozenset[Place]
    networks: tuple[Network, ...]

    def has(self, host: str) -> bool:
        """Return whether a Host header names one of these, or a loopback host with whatever port."""
        place = read_place(host)
        if place is None:
            return False
        return (
            is_loopback(place.name)
            or not self.places.isdisjoint({place, place._replace(port="")})
            or _is_within(place.name, self.networks)
        )


LOOPBACK_ONLY = Hosts(frozenset(), ())


def is_loopback(name: str) -> bool:
    """Return whether a name or an address means this machine, whatever a resolver says."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower().removesuffix(".") == "localhost"


def read_hosts(text: str) -> Hosts:
    """Read names (perhaps with a port), addresses and networks, separated by commas. Raises ValueError."""
    places: set[Place] = set()
    networks: list[Network] = []
    for entry in (part.strip() for part in text.split(",")):
        place = None if _is_address(entry) else read_place(entry)
        if place is None:
            networks.append(ip_network(entry))
        else:
            places.add(place)
    return Hosts(frozenset(places), tuple(networks))


def read_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks, separated by commas. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(","))


def read_place(text: str) -> Place | None:
    """Read a name or an address (IPv6 in brackets) with or without a port; None if it is neither."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    name = match["address"] or match["name"].lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or (match["address"] and not _is_address(name)):
        return None
    return Place(ip_address(name).compressed if _is_address(name) else name, match["port"] or "")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_within(name: str, networks: tuple[Network, ...]) -> bool:
    return bool(networks) and _is_address(name) and any(ip_address(name) in network for network in networks)
