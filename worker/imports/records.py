"""Converting rows of a source to records: an identifying key, and the payload as JSON text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.import_reports import ReadRow, RejectedRow
from sources.keys import MAX_KEY_CHARACTERS, KeyText, json_text, key_text
from sources.protocol import SourceRow


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a batch: records with distinct keys, and rejects."""

    taken: list[ReadRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


def to_records(rows: Iterable[SourceRow], key: tuple[str, ...], key_of: KeyText | None = None) -> Records:
    """Sort the rows of a batch into records and rejects; of equal keys the first row that isn't repeated is taken.

    `key_of` makes the text of a row's key; by default the text that equal keys share.
    """
    records = Records()
    key_of = key_of or key_text(key)
    seen: set[str] = set()
    for position, payload, defect, is_repeated, line in rows:
        text = None if defect is not None else key_of(payload)
        if defect is not None:
            detail = _placed(line, f"This row can't be taken: {defect}.")
            records.rejected.append(RejectedRow(position, None, "unusable_row", detail))
        elif text is None:
            records.rejected.append(RejectedRow(position, None, "key_missing", _placed(line, _missing(payload, key))))
        elif len(text) > MAX_KEY_CHARACTERS:
            detail = _placed(line, f"The row's key is longer than {MAX_KEY_CHARACTERS} characters.")
            records.rejected.append(RejectedRow(position, None, "key_too_long", detail))
        elif is_repeated or text in seen:
            records.rejected.append(duplicate(position, text, line))
        else:
            seen.add(text)
            records.taken.append(ReadRow(text, json_text(payload), position))
    return records


def duplicate(position: int, key: str, line: int | None = None) -> RejectedRow:
    """Return the reject of a row whose key occurs in another row of the import."""
    detail = _placed(line, "Another row of this import has the same key.")
    return RejectedRow(position, key, "duplicate_key", detail)


def _placed(line: int | None, detail: str) -> str:
    return detail if line is None else f"Line {line}: {detail}"


def _missing(payload: Mapping[str, Any], key: tuple[str, ...]) -> str:
    name = next(name for name in key if payload.get(name) is None)
    return f"The row has no value in {name[:100]}."
