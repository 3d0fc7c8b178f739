"""The first page under `/ui`: what goes on now."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.access import signed_in
from api.dependencies import ONE_OF_EACH
from api.page_views import START, page

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)


@router.get(START, dependencies=[signed_in])
async def show_overview(request: Request) -> Response:
    """Return the overview of what the caller may see."""
    return page(request, "overview.html")
