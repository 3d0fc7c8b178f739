"""The representations of a list: pages as JSON, or the whole list as a file, by the Accept header."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from api.content_negotiation import preferred
from api.dependencies import NoParameters
from api.errors import BadRequest
from api.file_formats import FileFormat
from domain.errors import ParameterError, ParametersRejected

PAGING = ("limit", "cursor")


class Representations:
    """JSON, and files of these formats. `content` describes the files for OpenAPI."""

    def __init__(self, *formats: FileFormat) -> None:
        self._format_by_media_type = {each.media_type: each for each in formats}
        self._offered = ("application/json", *self._format_by_media_type)
        self.content: Mapping[str, Any] = {
            each.media_type: {"schema": {"type": "string", "description": each.description}} for each in formats
        }

    def negotiate(self, request: Request, parameters: NoParameters) -> FileFormat | None:
        """Return the requested file format, None for a page of the list.

        Raises BadRequest if neither is acceptable, ParametersRejected for parameters of pages, which a file doesn't
        have.
        """
        media_type = preferred(",".join(request.headers.getlist("Accept")), self._offered)
        if media_type is None:
            raise BadRequest(406, "not_acceptable", f"Accept one of {', '.join(self._offered)}.", header="Accept")
        file_format = self._format_by_media_type.get(media_type)
        if file_format is not None:
            _refuse_paging(parameters)
        return file_format


def _refuse_paging(parameters: NoParameters) -> None:
    given = [name for name in PAGING if name in parameters.model_fields_set]
    if given:
        detail = "A download has no pages: leave `{}` out, or accept application/json."
        raise ParametersRejected([ParameterError(name, "not_with_downloads", detail.format(name)) for name in given])
