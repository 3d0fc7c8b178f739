"""Forms that pages send: a few short fields, as browsers encode them without JavaScript."""

from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import Request

from api.bodies import read_bounded
from api.errors import BadRequest

MEDIA_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 50
_STATE = "form"


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, each given once; may be called again.

    Raises BadRequest: 413 past 1 MiB, 415 for another type, 400 if malformed.
    """
    form: Mapping[str, str] | None = getattr(request.state, _STATE, None)
    if form is None:
        form = await _read(request)
        setattr(request.state, _STATE, form)
    return form


async def _read(request: Request) -> Mapping[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise BadRequest(415, "unsupported_media_type", f"Send the form as {MEDIA_TYPE}.", header="Content-Type")
    body = await read_bounded(request)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise _malformed() from None
    if any(times > 1 for times in Counter(name for name, _ in fields).values()):
        raise _malformed()
    return dict(fields)


def _malformed() -> BadRequest:
    return BadRequest(400, "malformed_form", f"Send at most {MOST_FIELDS} fields in UTF-8, each once.")
