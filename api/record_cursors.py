"""Cursors of imported rows: they hold the key of the last row shown, which is text."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import orjson
from pydantic import Field

from api.dependencies import NoParameters
from api.paging import VERSION, invalid_cursor
from db.reading import Slice
from db.records import RecordRead

LIST = "records"
LONGEST = 4_100
"""Characters of the longest cursor: of a key of 500 control characters, which JSON writes with six each."""


class RecordPageParameters(NoParameters):
    """Which part of a record type's rows is asked for."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(
        default=None, max_length=LONGEST, description="`next_cursor` of the page before; left out for the first."
    )

    def after(self) -> str | None:
        """Return the key that the cursor holds, None on the first page; raise ParametersRejected for any other text."""
        if self.cursor is None:
            return None
        try:
            version, name, key = orjson.loads(urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4)))
        except (ValueError, TypeError):
            raise invalid_cursor() from None
        if version != VERSION or name != LIST or not isinstance(key, str) or "\0" in key:
            raise invalid_cursor()
        return key


def next_cursor(page: Slice[RecordRead]) -> str | None:
    """Return the cursor of the page after this one, or None where it is the last."""
    if page.is_last:
        return None
    return urlsafe_b64encode(orjson.dumps([VERSION, LIST, page.facts[-1].record_key])).rstrip(b"=").decode()
