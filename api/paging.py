"""Pages of lists: opaque cursors that hold the internal key of the last item shown, and the link to the next page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from api.dependencies import NoParameters
from api.numbers import shown, taken
from db.reading import MAX_BIGINT, MAX_INT, MAX_SMALLINT, Slice
from domain.errors import ParameterError, ParametersRejected
from domain.sealing import Numbered

Item = TypeVar("Item")
Fact = TypeVar("Fact")
VERSION = 1
MAX_CURSOR = 200


class ListKind(NamedTuple):
    """A kind of list that cursors belong to, the largest value of each part of its key, and what the parts number.

    Parts that are counted over all tenants are named in `numbered`; those after them aren't.
    """

    name: str
    biggest: tuple[int, ...]
    numbered: tuple[Numbered, ...] = ()


JOBS = ListKind("jobs", (MAX_BIGINT,), (Numbered.JOB,))
EXECUTIONS = ListKind("executions", (MAX_SMALLINT, MAX_SMALLINT, MAX_SMALLINT))
ALL_EXECUTIONS = ListKind("all_executions", (MAX_BIGINT, MAX_SMALLINT, MAX_SMALLINT, MAX_SMALLINT), (Numbered.JOB,))
GRID = ListKind("grid", (MAX_INT,))
WAVES = ListKind("waves", (MAX_INT,))
BATCHES = ListKind("batches", (MAX_INT,))
TRIGGERS = ListKind("triggers", (MAX_BIGINT,), (Numbered.TRIGGER,))
EVENTS = ListKind("events", (MAX_INT,))
SUBMISSIONS = ListKind("submissions", (MAX_BIGINT,), (Numbered.SUBMISSION,))
AUDITS = ListKind("audits", (MAX_BIGINT,), (Numbered.JOB,))
REJECTS = ListKind("rejects", (MAX_INT, MAX_BIGINT))
DEAD_LETTERS = ListKind("dead_letters", (MAX_BIGINT,))
OPERATIONS = ListKind("operations", (MAX_BIGINT,))
REGIONS = ListKind("regions", (MAX_INT,))
PROVIDERS = ListKind("providers", (MAX_INT,))
QUESTIONS = ListKind("questions", (MAX_INT,))
TENANTS = ListKind("tenants", (MAX_INT,))
KEYS = ListKind("keys", (MAX_BIGINT,))
AUDIT_LOG = ListKind("audit_log", (MAX_BIGINT, MAX_BIGINT))


class PageParameters(NoParameters):
    """The requested part of a list."""

    limit: int = Field(default=50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(
        default=None, max_length=MAX_CURSOR, description="`next_cursor` of the page before; left out for the first."
    )

    def key(self, kind: ListKind) -> tuple[int, ...] | None:
        """Return the key in the cursor, None on the first page; raise ParametersRejected for an invalid cursor."""
        if self.cursor is None:
            return None
        key = decode_key(self.cursor, kind)
        if key is None:
            raise invalid_cursor()
        return key

    def number(self, kind: ListKind) -> int | None:
        """Return the one number of the key that the cursor holds, None on the first page. Raises as `key` does."""
        key = self.key(kind)
        return None if key is None else key[0]


class Listed(BaseModel, Generic[Item]):
    """A part of a list. Pages are complete and stable while items are added; no list counts its total."""

    items: list[Item]
    next_cursor: str | None = Field(description="For the next page; null at the end.")


def placed(items: Sequence[Fact], kind: ListKind, parameters: PageParameters) -> Slice[tuple[int, Fact]]:
    """Return the requested part of a list in memory, each item with its index, which is its key."""
    last = parameters.number(kind)
    first = 0 if last is None else last + 1
    part = list(enumerate(items))[first : first + parameters.limit]
    return Slice(part, is_last=first + parameters.limit >= len(items))


def next_cursor(kind: ListKind, page: Slice[Any], key: Callable[[Any], Sequence[int]]) -> str | None:
    """Return the cursor of the page after this one, or None if it is the last."""
    if page.is_last:
        return None
    return encode_key(kind, key(page.facts[-1]))


def encode_key(kind: ListKind, key: Sequence[int]) -> str:
    """Encode the key of a list's item as an opaque text."""
    seen = [shown(numbered, part) for numbered, part in zip(kind.numbered, key, strict=False)]
    text = orjson.dumps([VERSION, kind.name, *seen, *key[len(seen) :]])
    return urlsafe_b64encode(text).rstrip(b"=").decode()


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Add the link to the next page, with the filters of this page, to the answer's headers."""
    if cursor is not None:
        following = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'


def decode_key(text: str, kind: ListKind) -> tuple[int, ...] | None:
    """Decode a text of `encode_key`; None for any other text."""
    try:
        version, name, *key = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError):
        return None
    is_ours = version == VERSION and name == kind.name and len(key) == len(kind.biggest)
    if not is_ours or not all(
        type(part) is int and 0 <= part <= most for part, most in zip(key, kind.biggest, strict=True)
    ):
        return None
    numbers = [taken(numbered, part) for numbered, part in zip(kind.numbered, key, strict=False)]
    if None in numbers:
        return None
    return (*numbers, *key[len(numbers) :])


def invalid_cursor() -> ParametersRejected:
    """Return the error for a cursor that isn't of this list."""
    detail = "`cursor` isn't one of this list; take `next_cursor` of its last page, or leave it out."
    return ParametersRejected([ParameterError("cursor", "cursor_invalid", detail)])
