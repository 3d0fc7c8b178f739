"""How OpenAPI describes the headers of answers."""

from typing import Any

REQUEST_ID: dict[str, Any] = {
    "description": "The id of this request; the client's own where it sent one. The logs carry it too.",
    "required": True,
    "schema": {"type": "string"},
}
RETRY_AFTER: dict[str, Any] = {
    "description": "After how many seconds to repeat the request, where repeating it helps.",
    "schema": {"type": "integer", "minimum": 0},
}
RATE_LIMIT: dict[str, Any] = {
    "description": "What is left of the API key's limits (`r`), and the seconds until they are free again (`t`). Also"
    " with other answers to keys that have limits.",
    "schema": {"type": "string"},
    "example": '"cells_per_day";r=40;t=3600',
}
RATE_LIMIT_POLICY: dict[str, Any] = {
    "description": "The API key's limits (`q`), with the seconds that they are for (`w`) and their units (`qu`). Also"
    " with other answers to keys that have limits.",
    "schema": {"type": "string"},
    "example": '"cells_per_day";q=100;w=86400;qu="cells"',
}
LOCATION: dict[str, Any] = {"description": "Where the job is shown.", "schema": {"type": "string"}}
KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 visible ASCII characters, quoted or bare. The same key with the same request gets the"
    " first answer again; another request, on whatever route, gets 422 `idempotency_key_reused`; while the first"
    " is under way, 409 `idempotency_key_in_flight`. Refusals aren't kept.",
    "schema": {"type": "string", "pattern": '^("[!#-~]{1,255}"|[!#-~]{1,255})$'},
    "example": "my-first-request",
}
"""The parameter of every POST."""
REPLAYED: dict[str, Any] = {
    "description": "There if this is the first answer to the Idempotency-Key again.",
    "schema": {"enum": ["true"]},
}
ETAG: dict[str, Any] = {"description": "For If-None-Match.", "required": True, "schema": {"type": "string"}}
LINK: dict[str, Any] = {
    "description": 'The next page, with the filters of this one: `rel="next"`. None at the end.',
    "schema": {"type": "string"},
}
DISPOSITION: dict[str, Any] = {
    "description": "The name for the file; of downloads only.",
    "schema": {"type": "string"},
}
