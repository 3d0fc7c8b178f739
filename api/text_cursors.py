"""Cursors of lists in text order: they hold the text of the last item shown."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import Field

from api.dependencies import NoParameters
from api.paging import VERSION, invalid_cursor
from db.reading import Slice

RECORDS = "records"
DATASETS = "datasets"
SESSIONS = "sessions"
LONGEST = 4_100
"""Characters of the longest cursor: a key of 500 control characters, each of which JSON writes with six."""


class TextPageParameters(NoParameters):
    """The requested part of a list."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(
        default=None, max_length=LONGEST, description="`next_cursor` of the page before; left out for the first."
    )

    def after(self, kind: str) -> str | None:
        """Return the text in the cursor, None on the first page. Raises ParametersRejected for an invalid cursor."""
        if self.cursor is None:
            return None
        try:
            version, name, text = orjson.loads(urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4)))
        except (ValueError, TypeError):
            raise invalid_cursor() from None
        if version != VERSION or name != kind or not isinstance(text, str) or "\0" in text:
            raise invalid_cursor()
        return text


def next_cursor(kind: str, page: Slice[Any], text: Callable[[Any], str]) -> str | None:
    """Return the cursor of the page after this one, or None if it is the last."""
    if page.is_last:
        return None
    return urlsafe_b64encode(orjson.dumps([VERSION, kind, text(page.facts[-1])])).rstrip(b"=").decode()
