"""Identities of providers and sources: their type, address and the like; a job names those that may serve it.

What the configuration keeps for some tenants has an identity for each of them, so that no other's job is served by it.

Limits, time limits, names of key variables, pauses and spellings aren't part of an identity: they may change while a
job runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from domain.sources.source import ConnectionSource, Source


class IdentityKind(StrEnum):
    """The kinds of things that have an identity."""

    PROVIDER = "provider"
    CONNECTION = "connection"
    IMPORT_ROOT = "import_root"


class IdentityKey(NamedTuple):
    """The name of an identity in a configuration: a provider in a region, a connection, or the root of imports.

    `tenant` names the only tenant that it serves; empty: it serves every tenant that has none of its own.
    """

    kind: IdentityKind
    name: str
    region: str
    tenant: str = ""

    @property
    def shared(self) -> "IdentityKey":
        """The same without its tenant, as a spec names it."""
        return self._replace(tenant="")

    def __str__(self) -> str:
        """Return the name for a sentence."""
        whose = f" for {self.tenant}" if self.tenant else ""
        match self.kind:
            case IdentityKind.PROVIDER:
                return f"provider {self.name} in {self.region}{whose}"
            case IdentityKind.CONNECTION:
                return f"connection {self.name}{whose}"
            case IdentityKind.IMPORT_ROOT:
                return f"the root of imports{whose}"


IMPORT_ROOT = IdentityKey(IdentityKind.IMPORT_ROOT, "", "")


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity: `content` is JSON with its keys sorted. A simulated identity asks no provider."""

    key: IdentityKey
    content: str
    is_simulated: bool = False

    @property
    def digest(self) -> str:
        """The content's SHA-256 in hexadecimal digits."""
        return sha256(self.content.encode()).hexdigest()


def of_provider(name: str, region: str) -> IdentityKey:
    """Return the key of a provider in a canonical region."""
    return IdentityKey(IdentityKind.PROVIDER, name, region)


def of_source(source: Source) -> IdentityKey:
    """Return the key of a source's connection, or of the root of imports."""
    if isinstance(source, ConnectionSource):
        return IdentityKey(IdentityKind.CONNECTION, source.connection, "")
    return IMPORT_ROOT


def number_for(tenant: str, key: IdentityKey, numbers: Mapping[IdentityKey, int]) -> int:
    """Return the number of the identity that serves a tenant: its own, or every tenant's.

    `key` names no tenant. Raises KeyError if there is none.
    """
    own = numbers.get(key._replace(tenant=tenant))
    return numbers[key] if own is None else own
