"""GET /questions: the questions that a spec may name by id."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access import requires
from api.dependencies import ONE_OF_EACH, Allowed
from api.paging import QUESTIONS, PageParameters, link_next, next_cursor, placed
from api.problems import problem_responses
from api.schemas.questions import Question, QuestionList
from domain.scopes import Scope

router = APIRouter(tags=["registry"], dependencies=ONE_OF_EACH)


@router.get(
    "/questions",
    operation_id="list_questions",
    summary="List the question bank",
    responses=problem_responses(422),
    dependencies=[requires(Scope.JOBS_READ)],
)
async def get_questions(
    request: Request, response: Response, registry: Allowed, parameters: Annotated[PageParameters, Query()]
) -> QuestionList:
    """Return the questions that a spec may name by their id."""
    page = placed(list(registry.questions.items()), QUESTIONS, parameters)
    cursor = next_cursor(QUESTIONS, page, lambda placed: placed[:1])
    link_next(request, response, cursor)
    return QuestionList(items=[Question(id=id_, text=text) for _, (id_, text) in page.facts], next_cursor=cursor)
