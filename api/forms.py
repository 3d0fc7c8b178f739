"""The forms that a list comes in: pages as JSON, or all of it as a file; the Accept header decides."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from api.accepting import preferred
from api.dependencies import NoParameters
from api.errors import BadRequest
from api.file_formats import FileFormat
from domain.errors import ParameterError, ParametersRejected

PAGING = ("limit", "cursor")


class Forms:
    """A list's forms: JSON, and these kinds of files. `content` describes the files for OpenAPI."""

    def __init__(self, *kinds: FileFormat) -> None:
        self._kinds = {kind.media_type: kind for kind in kinds}
        self._offered = ("application/json", *self._kinds)
        self.content: Mapping[str, Any] = {
            kind.media_type: {"schema": {"type": "string", "description": kind.description}} for kind in kinds
        }

    def asked(self, request: Request, parameters: NoParameters) -> FileFormat | None:
        """Return which file is asked for, None for a page of the list.

        Raises BadRequest where it's something else, ParametersRejected for what would make a page of a file that holds
        everything.
        """
        media_type = preferred(",".join(request.headers.getlist("Accept")), self._offered)
        if media_type is None:
            raise BadRequest(406, "not_acceptable", f"Accept one of {', '.join(self._offered)}.", header="Accept")
        kind = self._kinds.get(media_type)
        if kind is not None:
            _refuse_paging(parameters)
        return kind


def _refuse_paging(parameters: NoParameters) -> None:
    given = [name for name in PAGING if name in parameters.model_fields_set]
    if given:
        detail = "A download has no pages: leave `{}` out, or accept application/json."
        raise ParametersRejected([ParameterError(name, "not_with_downloads", detail.format(name)) for name in given])
