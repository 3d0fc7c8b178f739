"""The kinds of this release, as the database knows them."""

from collections.abc import Mapping

from db import cell_actions, import_actions
from db.kinds import StoredKind, Unit
from domain import import_spec, spec

INFERENCE = StoredKind(spec.INFERENCE, Unit.CELL, cell_actions.cancel, cell_actions.retry, cell_actions.preview_retry)
IMPORT = StoredKind(
    import_spec.IMPORT, Unit.BATCH, import_actions.cancel, import_actions.retry, import_actions.preview_retry
)
KINDS: Mapping[str, StoredKind] = {kind.name: kind for kind in (INFERENCE, IMPORT)}
