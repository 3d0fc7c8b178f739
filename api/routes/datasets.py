"""GET /datasets: the datasets that imports load into."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Database, Tenant
from api.paging import link_next
from api.problems import problem_responses
from api.schemas.datasets import Dataset, DatasetList
from api.text_cursors import DATASETS, TextPageParameters, next_cursor
from db.datasets import list_datasets
from domain.scopes import Scope

router = APIRouter(tags=["imports"], dependencies=ONE_OF_EACH)


@router.get(
    "/datasets",
    operation_id="list_datasets",
    summary="List datasets",
    responses=problem_responses(422),
    dependencies=[requires(Scope.RESULTS_READ)],
)
async def get_datasets(
    *,
    request: Request,
    response: Response,
    database: Database,
    tenant: Tenant,
    parameters: Annotated[TextPageParameters, Query()],
) -> DatasetList:
    """Return the datasets that an import was planned for, by name, with their record types and who loads them last."""
    page = await list_datasets(database, tenant, after=parameters.after(DATASETS), limit=parameters.limit)
    cursor = next_cursor(DATASETS, page, lambda dataset: dataset.name)
    link_next(request, response, cursor)
    return DatasetList(items=[Dataset.of(dataset) for dataset in page.facts], next_cursor=cursor)
