"""POST /keys, GET /keys, and rotating and revoking a key."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import requires
from api.actors import actor_name, read_action_body
from api.bodies import read_json, read_optional_json
from api.dependencies import ONE_OF_EACH, ActionDep, Database, NoParameters
from api.idempotent_actions import Reply
from api.paging import KEYS, PageParameters, link_next, next_cursor
from api.problems import problem_responses
from api.schemas.access import Key, KeyList, KeyWithSecret, NewKey, RotateRequest
from api.validating import described_body, validated
from db import api_keys
from db.api_keys import KeyRead, list_keys
from db.engine import Connection
from domain.api_keys import ApiKey
from domain.errors import FieldError, NotFound, ParametersRejected
from domain.scopes import Scope

router = APIRouter(tags=["access"], dependencies=ONE_OF_EACH)

KeyId = Annotated[str, Path(description="The key's id: the part between the underscores.", examples=["3k9f0q7zt2ab"])]
PROBLEMS = problem_responses(400, 404, 413, 415, 422)
EXAMPLE = {"a key of a team": {"value": {"name": "ci", "tenant": "acme", "scopes": ["jobs:write", "jobs:read"]}}}


@router.post(
    "/keys",
    operation_id="create_key",
    summary="Make an API key",
    status_code=201,
    response_model=KeyWithSecret,
    responses=problem_responses(400, 413, 415, 422),
    openapi_extra=described_body(NewKey, EXAMPLE),
    dependencies=[requires(Scope.ADMIN)],
)
async def create_key(request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Make a key and show it, this once: only its SHA-256 is kept. A repeated response carries `"key": null`."""
    new = validated(NewKey, await read_json(request))
    wanted = new.wanted()
    by = actor_name(request)

    async def unit(connection: Connection) -> tuple[KeyRead, ApiKey]:
        made = await api_keys.create_key(connection, wanted, by=by)
        if made is None:
            detail = f"There is no tenant `{new.tenant}`; POST /tenants makes one."
            raise ParametersRejected([FieldError("/tenant", "unknown_tenant", detail)])
        return made

    return (await action.perform(new, unit, answer=lambda made: _shown_once(201, *made))).response


@router.get(
    "/keys",
    operation_id="list_keys",
    summary="List API keys",
    responses=problem_responses(422),
    dependencies=[requires(Scope.ADMIN)],
)
async def get_keys(
    request: Request, response: Response, database: Database, parameters: Annotated[PageParameters, Query()]
) -> KeyList:
    """Return all keys of all tenants, newest first, those that were revoked or have expired too."""
    page = await list_keys(database, before=parameters.number(KEYS), limit=parameters.limit)
    cursor = next_cursor(KEYS, page, lambda key: [key.key_no])
    link_next(request, response, cursor)
    return KeyList(items=[Key.of(key) for key in page.facts], next_cursor=cursor)


@router.post(
    "/keys/{key_id}/rotate",
    operation_id="rotate_key",
    summary="Rotate an API key",
    response_model=KeyWithSecret,
    responses=PROBLEMS,
    openapi_extra=described_body(RotateRequest, {"overlap": {"value": {"overlap": "1d"}}}, required=False),
    dependencies=[requires(Scope.ADMIN)],
)
async def rotate_key(key_id: KeyId, request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Give the key another secret, shown this once. The secret before it stays valid for `overlap`."""
    asked = validated(RotateRequest, await read_optional_json(request))

    async def unit(connection: Connection) -> tuple[KeyRead, ApiKey]:
        rotated = await api_keys.rotate_key(connection, key_id, overlap_seconds=asked.overlap_seconds)
        if rotated is None:
            raise NotFound("There is no valid key with this id.")
        return rotated

    return (await action.perform(asked, unit, answer=lambda made: _shown_once(200, *made))).response


@router.post(
    "/keys/{key_id}/revoke",
    operation_id="revoke_key",
    summary="Revoke an API key",
    response_model=Key,
    responses=PROBLEMS,
    dependencies=[requires(Scope.ADMIN)],
)
async def revoke_key(key_id: KeyId, request: Request, action: ActionDep, _: Annotated[NoParameters, Query()]) -> Any:
    """Refuse the key for good, in every process within a second. Safe to repeat."""
    body, by = await read_action_body(request, NoParameters), actor_name(request)  # anything else would be ignored

    async def unit(connection: Connection) -> KeyRead:
        read = await api_keys.revoke_key(connection, key_id, by=by)
        if read is None:
            raise NotFound("There is no key with this id.")
        return read

    return (await action.perform(body, unit, answer=lambda read: Reply(200, Key.of(read)))).response


def _shown_once(status: int, read: KeyRead, key: ApiKey) -> Reply:
    return Reply(
        status, KeyWithSecret.once(read, key.text), kept=KeyWithSecret.once(read, None), ids={"key_id": read.id}
    )
