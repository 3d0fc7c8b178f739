"""A submission: a posted body, its spec under a configuration, and the locks that exclude duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from configuration.in_force import InForce
from db.submissions import Wanted, lock_key
from domain.identities import IdentityKey, number_for
from domain.key_limits import Limited
from domain.kinds import Normalized, Spec, SpecKind
from domain.normalize import KINDS, normalize
from domain.redaction import redacted
from domain.spec import OnDuplicate


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a request, as the ledger keeps it.

    `by` is `key:` and an API key's id, or `oidc:` and an access token's subject; `session_id` is of a page's session.
    """

    request_id: str
    client: str | None
    user_agent: str | None
    by: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, eq=False)
class Submission:
    """A well-formed request for a job. Two submissions are never equal, even with one body.

    `tenant` is the name of its tenant: what the configuration keeps for others is unknown to it. `kinds` are the kinds
    that a job may be of, by name. It counts on the quotas of `limited_by`, its key and its tenant.
    """

    tenant: str = field(kw_only=True)
    tenant_no: int
    body: Any
    normalized: Normalized[Spec]
    in_force: InForce
    key: str | None
    sender: Sender
    kinds: Mapping[str, SpecKind] = field(default_factory=lambda: KINDS)
    limited_by: Sequence[Limited] = ()

    @cached_property
    def spec_text(self) -> bytes:
        """The normalized spec as JSON, as it is stored: calls are made of it, so it is whole."""
        return orjson.dumps(self.normalized.spec.to_json())

    @cached_property
    def shown_body(self) -> Any:
        """The body without secrets, as it is stored and shown."""
        return redacted(self.body)

    @cached_property
    def shown_spec(self) -> orjson.Fragment:
        """The normalized spec as JSON without secrets; it has none that the body hasn't."""
        if self.shown_body is self.body:
            return orjson.Fragment(self.spec_text)
        return orjson.Fragment(orjson.dumps(redacted(orjson.loads(self.spec_text))))

    @cached_property
    def notes_text(self) -> bytes:
        """The notes as JSON, also written once."""
        return orjson.dumps([note.to_json() for note in self.normalized.notes])

    @property
    def cells(self) -> int:
        """The cells that its job would create; batches of an import are none."""
        cells = self.normalized.spec.cells
        return 0 if cells is None else cells.planned

    @property
    def is_joined_by_content(self) -> bool:
        """Whether the submission may join a job of the same content."""
        spec = self.normalized.spec
        return spec.id is None and spec.on_duplicate is not OnDuplicate.CREATE

    @cached_property
    def wanted(self) -> Wanted:
        """The key, id and content hash by which earlier jobs are looked up."""
        return Wanted(self.tenant_no, self.key, self.normalized.spec.id, self.normalized.spec_hash)

    @cached_property
    def locks(self) -> Mapping[int, str]:
        """The advisory locks of this submission, each with its purpose: `key`, `id` or `spec`."""
        spec_hash = self.wanted.spec_hash if self.is_joined_by_content else None
        named = (("key", self.key), ("id", self.wanted.id), ("spec", spec_hash))
        return {lock_key(kind, self.tenant_no, value): kind for kind, value in named if value is not None}

    @property
    def identity_no_by_key(self) -> Mapping[IdentityKey, int]:
        """The identities that may serve the spec for its tenant, in the configuration of its normalization."""
        numbers = self.in_force.configuration.identity_nos
        return {key: number_for(self.tenant, key, numbers) for key in self.normalized.wanted}

    @property
    def identity_nos(self) -> list[int]:
        """Their numbers, in order."""
        return sorted(self.identity_no_by_key.values())

    def under(self, in_force: InForce) -> "Submission":
        """Return the same body, normalized under another configuration. Raises SpecRejected."""
        registry = in_force.registry_for(self.tenant)
        return replace(self, normalized=normalize(self.body, registry, self.kinds), in_force=in_force)


def read_submission(
    body: Any,
    in_force: InForce,
    *,
    tenant: str,
    tenant_no: int,
    key: str | None,
    sender: Sender,
    kinds: Mapping[str, SpecKind] = KINDS,
    limited_by: Sequence[Limited] = (),
) -> Submission:
    """Return a parsed body as a submission under a configuration. Raises SpecRejected."""
    normalized = normalize(body, in_force.registry_for(tenant), kinds)
    return Submission(tenant_no, body, normalized, in_force, key, sender, kinds, limited_by, tenant=tenant)
