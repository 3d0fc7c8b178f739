"""The kinds that come with the release, as the database knows them."""

from collections.abc import Mapping

from db import cell_retrying, import_retrying
from db.kinds import StoredKind, Unit
from domain import import_spec, spec

INFERENCE = StoredKind(spec.INFERENCE, Unit.CELL, cell_retrying.retry, cell_retrying.preview_retry)
IMPORT = StoredKind(import_spec.IMPORT, Unit.BATCH, import_retrying.retry, import_retrying.preview_retry)
KINDS: Mapping[str, StoredKind] = {kind.name: kind for kind in (INFERENCE, IMPORT)}
