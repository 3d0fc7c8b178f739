"""Path parameters that hold numbers counted over all tenants: read as they were shown.

Under a key they were shown sealed, or before there were keys as they are. That form is taken of jobs submitted without
a key only: else a tenant could try numbers until one is its own, and know how many jobs there are.
"""

from typing import Annotated

from fastapi import Depends, Path

from api.dependencies import Database
from api.numbers import are_sealed, taken
from db.engine import QUICK_SECONDS, connect
from db.executions import absent_execution, parse_execution_id
from db.submissions import was_submitted_without_key
from domain.sealing import Numbered


async def _execution_id(
    execution_id: Annotated[
        str, Path(description="The execution's id, as the list of its job shows it.", examples=["1-0-0-0"])
    ],
    database: Database,
) -> str:
    """Return the execution's id with its job's own number. Raises NotFound for one that wasn't shown."""
    if not are_sealed():
        return execution_id
    given, _ = parse_execution_id(execution_id)
    job_no = taken(Numbered.JOB, given)
    if job_no is None:
        async with connect(database, seconds=QUICK_SECONDS) as connection:
            if not await was_submitted_without_key(connection, given):
                raise absent_execution()
        job_no = given
    return f"{job_no}-{execution_id.partition('-')[2]}"


ExecutionId = Annotated[str, Depends(_execution_id)]
