"""The pages of datasets: what imports loaded, and its rows."""

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, PageDatabase, ServicesDep, Tenant
from api.page_queries import encoded
from api.page_views import page, see_other
from api.routes.datasets import get_datasets
from api.routes.records import Dataset, RecordListParameters, read_page
from api.text_cursors import TextPageParameters
from db.datasets import list_record_types
from db.records import RecordRead
from domain.scopes import Scope

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

DATASETS = "/ui/datasets"
LINKED_TYPES = 200


class _AsWritten(str):
    """A number with the digits that it was imported with."""

    __slots__ = ()


@router.get(DATASETS, dependencies=[requires(Scope.RESULTS_READ)])
async def show_datasets(
    request: Request, database: Database, tenant: Tenant, parameters: Annotated[TextPageParameters, Query()]
) -> Response:
    """Return the datasets with their record types and who loaded them."""
    found = await get_datasets(
        request=request, response=Response(), database=database, tenant=tenant, parameters=parameters
    )
    cursor = found.next_cursor
    return page(request, "datasets.html", found=found, next_page=cursor and DATASETS + encoded([("cursor", cursor)]))


@router.get(f"{DATASETS}/{{dataset:path}}", dependencies=[requires(Scope.RESULTS_READ)])
async def show_records(
    *,
    dataset: Dataset,
    request: Request,
    services: ServicesDep,
    database: Database,
    page_database: PageDatabase,
    tenant: Tenant,
    parameters: Annotated[RecordListParameters, Query()],
) -> Response:
    """Return rows of a record type as a table, or go to the first record type. Raises NotFound without a dataset."""
    record_types = await list_record_types(database, tenant, dataset, limit=LINKED_TYPES)
    path = f"{DATASETS}/{quote(dataset, safe='')}"
    if parameters.record_type is None:
        return see_other(path + encoded([("record_type", record_types[0])]))
    async with read_page(services, page_database, tenant, dataset, parameters) as (rows, cursor):
        columns, cells = _table(rows)
    following = [("record_type", parameters.record_type), ("limit", str(parameters.limit))]
    return page(
        request,
        "records.html",
        dataset=dataset,
        record_type=parameters.record_type,
        types=[(name, path + encoded([("record_type", name)])) for name in record_types],
        columns=columns,
        rows=list(zip(rows, cells, strict=True)),
        is_first=parameters.cursor is None,
        next_page=cursor and path + encoded([*following, ("cursor", cursor)]),
    )


def _table(rows: Sequence[RecordRead]) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """Return the columns in the order of their first row, and each row's cells as (type, text)."""
    payloads = [_members(row.payload) for row in rows]
    columns = list(dict.fromkeys(name for payload in payloads for name in payload))
    return columns, [[_cell(payload, name) for name in columns] for payload in payloads]


def _members(payload: str) -> dict[str, Any]:
    """Return the members of a row; one that isn't an object is one column without a name."""
    value = json.loads(payload, parse_int=_AsWritten, parse_float=_AsWritten)
    return value if isinstance(value, dict) else {"": value}


def _cell(payload: dict[str, Any], name: str) -> tuple[str, str]:
    if name not in payload:
        return "absent", ""
    value = payload[name]
    if isinstance(value, _AsWritten):
        return "number", value
    if isinstance(value, str):
        return "text", value
    return "other", _written(value)


def _written(value: Any) -> str:
    """Return a value as JSON, its numbers as they were imported."""
    if isinstance(value, _AsWritten):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_written(name)}: {_written(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)
