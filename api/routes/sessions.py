"""GET /sessions and POST /sessions/{session_id}/end: who is signed in to the pages, and signing somebody out."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import requires
from api.actors import read_action_body
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters, ServicesDep
from api.idempotent_actions import Reply
from api.paging import link_next
from api.problems import problem_responses
from api.schemas.access import EndedSession, Session, SessionList
from api.text_cursors import SESSIONS, TextPageParameters, next_cursor
from db.engine import Connection
from db.page_sessions import end_session_with_id, list_sessions
from domain.errors import NotFound
from domain.scopes import Scope

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)

SessionId = Annotated[str, Path(description="The session's id.", examples=["3k9f0q7zt2ab"])]


@router.get(
    "/sessions",
    operation_id="list_sessions",
    summary="List sessions of pages",
    responses=problem_responses(422),
    dependencies=[requires(Scope.ADMIN)],
)
async def get_sessions(
    *,
    request: Request,
    response: Response,
    services: ServicesDep,
    database: Database,
    parameters: Annotated[TextPageParameters, Query()],
) -> SessionList:
    """Return the sessions of all tenants that haven't ended, in the order of their ids."""
    idle_seconds = services.settings.session_idle_seconds
    page = await list_sessions(
        database, after=parameters.after(SESSIONS), limit=parameters.limit, idle_seconds=idle_seconds
    )
    cursor = next_cursor(SESSIONS, page, lambda session: session.id)
    link_next(request, response, cursor)
    return SessionList(items=[Session.of(session) for session in page.facts], next_cursor=cursor)


@router.post(
    "/sessions/{session_id}/end",
    operation_id="end_session",
    summary="End a session of pages",
    response_model=EndedSession,
    responses=problem_responses(400, 404, 413, 415, 422),
    dependencies=[requires(Scope.ADMIN)],
)
async def end_session(
    session_id: SessionId, request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]
) -> Any:
    """Sign somebody out, in every process within a second. A key or token with which they sign in again stays valid."""
    body = await read_action_body(request, NoParameters)

    async def unit(connection: Connection) -> bool:
        if not await end_session_with_id(connection, session_id):
            raise NotFound("There is no session with this id.")
        return True

    return (await action.perform(body, unit, answer=lambda _: Reply(200, EndedSession(id=session_id)))).response
