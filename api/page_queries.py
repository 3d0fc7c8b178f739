"""The query of a page with a form of filters, as its JSON route takes it. No I/O.

A browser sends every field of a form, empty ones too, and a ticked name once for each tick. Written as the route takes
it, the same address filters the page and the JSON.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from api.filters import METADATA
from domain.errors import ParametersRejected

METADATA_FIELD = METADATA.rstrip(".")
"""The field of a form that takes `key=value`."""


def as_query(given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what was given without empty values, with repeated names joined by commas and metadata by its keys.

    The order of names stays; what is a route's query already comes back as it is.
    """
    values_by_name: dict[str, list[str]] = {}
    for name, text in given:
        value = text.strip()
        if name == METADATA_FIELD and "=" in value:
            key, _, value = value.partition("=")
            values_by_name.setdefault(METADATA + key.strip(), []).append(value.strip())
        elif value:
            values_by_name.setdefault(name, []).append(value)
    return [(name, ",".join(dict.fromkeys(values))) for name, values in values_by_name.items()]


def encoded(query: Sequence[tuple[str, str]]) -> str:
    """Return a query as it stands in an address, its question mark included; nothing for an empty one."""
    return "?" + urlencode(query, quote_via=quote, safe=",:/") if query else ""


def filter_faults(error: ValidationError | ParametersRejected) -> list[str]:
    """Return what is wrong with the fields of a form, a sentence each."""
    if isinstance(error, ParametersRejected):
        return [each.detail for each in error.errors]
    return [f"`{each['loc'][0]}`: {each['msg']}." for each in error.errors(include_url=False)]
