"""A submission: a posted body, what it means under a configuration, and the locks that exclude others like it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from configuration.in_force import InForce
from db.submissions import Wanted, lock_key
from domain.identities import wanted_by
from domain.import_reading import NormalizedImport
from domain.normalize import Normalized, normalize
from domain.spec import OnDuplicate


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a request, as the ledger keeps it."""

    request_id: str
    client: str | None
    user_agent: str | None


@dataclass(frozen=True, eq=False)
class Submission:
    """A well-formed request for a job. Two of them are never equal, whatever they ask for."""

    tenant_no: int
    body: Any
    normalized: Normalized | NormalizedImport
    in_force: InForce
    key: str | None
    sender: Sender

    @cached_property
    def spec_text(self) -> bytes:
        """The normalized spec as JSON; it is stored and shown, so it is written once."""
        return orjson.dumps(self.normalized.spec.to_json())

    @cached_property
    def notes_text(self) -> bytes:
        """The notes as JSON, likewise."""
        return orjson.dumps([note.to_json() for note in self.normalized.notes])

    @property
    def is_joined_by_content(self) -> bool:
        """Whether a job of the same content answers this."""
        spec = self.normalized.spec
        return spec.id is None and spec.on_duplicate is not OnDuplicate.CREATE

    @cached_property
    def wanted(self) -> Wanted:
        """What is looked up to decide whether this is new, and what ran before."""
        return Wanted(self.key, self.normalized.spec.id, self.normalized.spec_hash)

    @cached_property
    def locks(self) -> Mapping[int, str]:
        """The advisory locks of this submission, each with what it is for: `key`, `id` or `spec`."""
        spec_hash = self.wanted.spec_hash if self.is_joined_by_content else None
        named = (("key", self.key), ("id", self.wanted.id), ("spec", spec_hash))
        return {lock_key(kind, self.tenant_no, value): kind for kind, value in named if value is not None}

    @property
    def identity_nos(self) -> list[int]:
        """The numbers of all that may answer this, in the configuration that it was normalized under."""
        wanted = wanted_by(self.normalized.spec, self.in_force.registry)
        return sorted(self.in_force.configuration.identity_nos[key] for key in wanted)

    def under(self, in_force: InForce) -> "Submission":
        """Return the same body, normalized under another configuration. Raises SpecRejected."""
        return replace(self, normalized=normalize(self.body, in_force.registry), in_force=in_force)


def read_submission(body: Any, in_force: InForce, *, tenant_no: int, key: str | None, sender: Sender) -> Submission:
    """Return what a parsed body asks for under a configuration. Raises SpecRejected."""
    return Submission(tenant_no, body, normalize(body, in_force.registry), in_force, key, sender)
