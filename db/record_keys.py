"""Renaming, once, records that were stored under the spelling of their keys to the spelling that equal keys share."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from db.engine import Connection, statement
from domain.key_forms import MAY_BE_RESPELLED, KeyForm, shared_spelling

_KEYS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Respelled:
    """The result of renaming: `renamed` records have another key; `merged` ones gave way to a newer record."""

    renamed: int = 0
    merged: int = 0


async def respell_keys(
    connection: Connection, record_set_no: int, job_no: int, forms: Sequence[KeyForm]
) -> Respelled | None:
    """Rename the records of a set to the spellings that equal keys share, once; None if done, or not possible yet.

    It isn't possible while another import of the set is open: that import's batches write keys in the old spelling. Of
    records with equal keys, the newest stays. The caller has locked the set's row. In the caller's transaction.
    """
    if await connection.fetchval(statement("mark_keys_by_value"), record_set_no, job_no) is None:
        return None
    patterns = [MAY_BE_RESPELLED[form] for form in dict.fromkeys(forms) if form in MAY_BE_RESPELLED]
    renamed = merged = 0
    last = ""
    while patterns:
        found = await connection.fetch(statement("list_keys_to_respell"), record_set_no, last, patterns, _KEYS_AT_ONCE)
        if not found:
            break
        last = found[-1]["record_key"]
        shared_by_key = {row["record_key"]: _shared(row["record_key"], forms) for row in found}
        changed = {key: shared for key, shared in shared_by_key.items() if shared != key}
        arguments = record_set_no, list(changed), list(changed.values())
        merged += await connection.fetchval(statement("delete_older_equals"), *arguments)
        renamed += await connection.fetchval(statement("rename_records"), *arguments)
    return Respelled(renamed, merged)


def _shared(key: str, forms: Sequence[KeyForm]) -> str:
    """Return a record's key as `sources.keys` makes it now; a key of several columns is a JSON list."""
    if len(forms) == 1:
        return shared_spelling(key, forms[0])
    parts = [_shared_part(part, form) for part, form in zip(orjson.loads(key), forms, strict=True)]
    return orjson.dumps(parts).decode()


def _shared_part(part: object, form: KeyForm) -> object:
    if isinstance(part, str):
        return shared_spelling(part, form)
    return part + 0.0 if isinstance(part, float) else part  # -0.0 becomes 0.0
