"""GET /problems and /problems/{code}: what each code of a problem means; a problem's `type` leads here."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse, Response

from api.page_views import page
from api.problem_texts import explanations
from api.turns import open_turn
from domain.errors import NotFound

router = APIRouter(include_in_schema=False, dependencies=[open_turn])

HTML = "text/html"


@router.api_route("/problems", methods=["GET", "HEAD"])
async def list_problems(request: Request) -> Response:
    """Return all codes with what they mean, as a page or as JSON."""
    all_of_them = [each for several in explanations().values() for each in several]
    if _wants_json(request):
        return _json({"items": [asdict(each) for each in all_of_them]})
    by_heading: dict[str, list[Any]] = {}
    for each in all_of_them:
        by_heading.setdefault(each.about, []).append(each)
    return page(request, "problems.html", headings=by_heading)


@router.api_route("/problems/{code}", methods=["GET", "HEAD"])
async def explain_problem(code: str, request: Request) -> Response:
    """Return what a code means and what to do, as a page or as JSON. Raises NotFound for a code that there isn't."""
    found = explanations().get(code)
    if found is None:
        raise NotFound("There is no problem with this code; /problems lists them.")
    if _wants_json(request):
        return _json({"code": code, "explanations": [asdict(each) for each in found]})
    return page(request, "problem_type.html", code=code, found=found)


def _wants_json(request: Request) -> bool:
    """Return whether JSON is asked for by name, and a page isn't: most clients say that they take anything."""
    accept = request.headers.get("accept", "")
    return "json" in accept and HTML not in accept


def _json(content: dict[str, Any]) -> Response:
    return ORJSONResponse(content, HTTPStatus.OK, headers={"Vary": "Accept"})
