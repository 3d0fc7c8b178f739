"""Operations: pauses and resumes that changed something, and actions over a filter with how far they are."""

from dataclasses import dataclass
from datetime import datetime

from db.engine import Engine, connect, statement
from db.reading import Slice, columns_of, sliced


@dataclass(frozen=True, slots=True)
class OperationRead:
    """A pause or resume of a region or provider, by a person or by a changed configuration; or an action over a filter.

    Of an action over a filter, `kind` is what it acts on (`jobs`, `dead_letters`), `name` the filter, and the numbers
    are of its items; of others they are None.
    """

    operation_no: int
    action: str
    kind: str
    name: str
    at: datetime
    by: str
    reason: str | None
    matched: int | None
    done: int | None
    skipped: int | None


async def list_operations(engine: Engine, *, before: int | None, limit: int) -> Slice[OperationRead]:
    """Return the operations, newest first, with keys below `before`."""
    async with connect(engine) as connection:
        rows = await connection.fetch(statement("list_operations"), before, limit + 1)
    return sliced(rows, limit, columns_of(OperationRead))
