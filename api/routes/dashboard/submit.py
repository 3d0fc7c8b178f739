"""The page on which people write a spec, see what it would do, and submit it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.callers import caller_of
from api.dependencies import ONE_OF_EACH, Allowed, Database, NoParameters, ServicesDep
from api.examples import BENCHMARK_EXAMPLE, IMPORT_EXAMPLE
from api.page_views import page
from api.paging import PageParameters
from api.routes.limits import get_limits
from api.routes.regions import get_regions
from api.schemas.regions import Region
from domain.policy import CHOICES
from domain.registry import Registry
from domain.scopes import Scope
from domain.spec import OnDuplicate, Policy

router = APIRouter(include_in_schema=False, dependencies=ONE_OF_EACH)

MODELS = ["llama3.2-1b", "qwen2.5-1.5b", "mistral-7b"]
"""Names that examples use; a real provider has others."""
QUESTIONS = ["What is 2+2?", "Capital of France?", "Name a prime number above 100."]


@router.get("/ui/submit", dependencies=[requires(Scope.JOBS_WRITE)])
async def show_submit(
    request: Request,
    response: Response,
    services: ServicesDep,
    database: Database,
    registry: Allowed,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Return the form, with the names that a spec may use; limits and pauses are for readers of jobs."""
    may_read = Scope.JOBS_READ in caller_of(request).scopes
    regions = await get_regions(
        request=request,
        response=response,
        registry=registry,
        services=services,
        parameters=PageParameters(limit=200),
    )
    limits = (await get_limits(request, database, NoParameters())).limits if may_read else []
    return page(
        request,
        "submit.html",
        regions=regions.items,
        has_more_regions=regions.next_cursor is not None,
        registry=registry,
        examples=_examples(registry, regions.items if may_read else []),
        limits=limits,
        shows_pauses=may_read,
        choices={name: list(values) for name, values in CHOICES.items()},
        duplicates=list(OnDuplicate),
        policy=Policy(),
        address=str(request.base_url).rstrip("/"),
    )


def _examples(registry: Registry, regions: list[Region]) -> dict[str, dict[str, Any]]:
    """Return specs to begin with, by what they show; each names regions that the configuration has."""
    open_regions = [region.name for region in regions if not region.paused] or registry.allowed_regions
    first, few = open_regions[:1], open_regions[:3]
    examples: dict[str, dict[str, Any]] = {
        "One model": {"name": "first-job", "models": MODELS[:1], "regions": first, "questions": QUESTIONS[:1]},
        f"{len(MODELS)} models × {len(few)} regions": {
            "name": "comparison",
            "models": MODELS,
            "regions": few,
            "questions": QUESTIONS,
            "parameters": {"temperature": 0, "max_tokens": 200},
        },
        "A model named twice": {
            "name": "doubled",
            "models": [MODELS[0], MODELS[1], MODELS[0]],
            "regions": first,
            "questions": QUESTIONS[:1],
        },
        "The benchmark layout": {**BENCHMARK_EXAMPLE, "constraints": {"regions": first, "min_success_rate": 0.5}},
    }
    if registry.has_import_root:
        examples["An import of files"] = IMPORT_EXAMPLE
    return examples
