"""Reading PostgreSQL's own text of arrays and composites, as `array_out` and `record_out` write it."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

from sources.errors import echoed
from sources.values import NotJson

Convert: TypeAlias = Callable[[Any], Any]
"""From a value as it travels to a JSON value; raises NotJson where there is none."""

_FIELD = re.compile(r'(?:"((?:[^"\\]|""|\\\\)*)"|([^"\\(),]*))[,)]')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DOUBLED = re.compile(r'(["\\])\1')


def array_from(text: str, element: Convert, delimiter: str) -> list[Any]:
    """Return the elements of an array as a list, of lists where it has several dimensions; bounds are left out.

    `element` turns an element's own text into a JSON value; `delimiter` is that of the element's type.
    """
    lists: list[list[Any]] = [[]]
    begin = text.index("=") + 1 if text.startswith("[") else 0  # `[0:2]={…}`: other bounds than from 1
    for found in _tokens(delimiter).finditer(text, begin):
        match found.lastgroup:
            case "open":
                lists.append([])
            case "close":
                whole = lists.pop()
                lists[-1].append(whole)
            case "quoted":
                quoted = found["quoted"]
                lists[-1].append(element(_ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted))
            case "bare":
                lists[-1].append(None if found["bare"] == "NULL" else element(found["bare"]))
    return list(lists[0][0])


def composite_from(text: str, attributes: Mapping[str, Convert]) -> dict[str, Any]:
    """Return a composite's values by the names of its attributes, which are given in their order.

    Raises NotJson, naming the attribute, for a value that JSON has no word for, and for other attributes than these.
    """
    found = list(_FIELD.finditer(text, 1)) if attributes else []  # `()` means no attribute, or a single null
    if len(found) != len(attributes):
        raise NotJson(f"has {len(found)} attributes, and its type {len(attributes)}")
    return {
        name: _attribute(name, convert, field[1], field[2])
        for field, (name, convert) in zip(found, attributes.items(), strict=True)
    }


def _attribute(name: str, convert: Convert, quoted: str | None, bare: str) -> Any:
    if quoted is None and not bare:
        return None
    try:
        return convert(bare if quoted is None else _DOUBLED.sub(r"\1", quoted))
    except NotJson as error:
        raise NotJson(f"in its attribute {echoed(name)} {error}") from None


@cache
def _tokens(delimiter: str) -> re.Pattern[str]:
    apart = re.escape(delimiter)
    return re.compile(
        rf'(?P<open>\{{)|(?P<close>\}})|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^{{}}"\\{apart}]+)', re.DOTALL
    )
