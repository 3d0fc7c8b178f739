"""Draining and resuming a worker."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import requires
from api.actors import read_action_body
from api.dependencies import ONE_OF_EACH, ActionDep, NoParameters
from api.idempotent_actions import Action, Reply
from api.problems import problem_responses
from api.schemas.queue import Worker
from db import workers
from db.engine import QUICK_SECONDS, Connection
from domain.errors import NotFound
from domain.scopes import Scope

router = APIRouter(tags=["queue"], dependencies=ONE_OF_EACH)

WorkerId = Annotated[str, Path(description="As `GET /queue` shows it.", examples=["worker-3f9a1c0b7d2e"])]
PROBLEMS = problem_responses(400, 404, 413, 415, 422)


@router.post(
    "/queue/workers/{worker_id}/drain",
    operation_id="drain_worker",
    summary="Drain a worker",
    response_model=Worker,
    responses=PROBLEMS,
    dependencies=[requires(Scope.OPERATE)],
)
async def drain_worker(
    *,
    worker_id: WorkerId,
    request: Request,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Let the worker take no more work from its next heartbeat on; what it has in hand ends, or goes to others.

    It goes on beating until it is resumed or stopped; a process that is started anew isn't drained. Safe to repeat.
    """
    return await _set_drain(request, action, worker_id, is_drained=True)


@router.post(
    "/queue/workers/{worker_id}/resume",
    operation_id="resume_worker",
    summary="Resume a worker",
    response_model=Worker,
    responses=PROBLEMS,
    dependencies=[requires(Scope.OPERATE)],
)
async def resume_worker(
    *,
    worker_id: WorkerId,
    request: Request,
    action: ActionDep,
    _: Annotated[NoParameters, Query()],
) -> Response:
    """Let a drained worker take work again, from its next heartbeat on. Safe to repeat."""
    return await _set_drain(request, action, worker_id, is_drained=False)


async def _set_drain(request: Request, action: Action, worker_id: str, *, is_drained: bool) -> Response:
    body = await read_action_body(request, NoParameters)  # anything else would be ignored

    async def unit(connection: Connection) -> Mapping[str, Any]:
        worker = await workers.set_drain(connection, worker_id, is_drained=is_drained)
        if worker is None:
            raise NotFound("There is no worker with this id, or it has ended; GET /queue lists them.")
        return worker

    done = await action.perform(body, unit, answer=lambda row: Reply(200, Worker.of(row)), seconds=QUICK_SECONDS)
    return done.response
