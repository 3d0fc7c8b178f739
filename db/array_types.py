"""Arrays that statements take as parameters, as the driver wants to know them: no session asks the server about them.

The driver knows no arrays but those of text. It asks for each new one, on each connection, by a query that PostgreSQL
takes 4 ms of CPU to plan (2026-11-30). The numbers of these types are fixed in PostgreSQL's catalog.
"""

from collections.abc import Mapping
from typing import Any

_ELEMENTS = {
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "int2": (1005, 21),
    "int4": (1007, 23),
    "int8": (1016, 20),
    "float8": (1022, 701),
    "timestamptz": (1185, 1184),
}
"""The OIDs of each type's array and of the type."""

ARRAY_TYPES: Mapping[int, Mapping[str, Any]] = {
    oid: {
        "oid": oid,
        "ns": "pg_catalog",
        "name": f"_{element}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element_oid,
        "elemtype_name": element,
        "elemdelim": ",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
    }
    for element, (oid, element_oid) in _ELEMENTS.items()
}
"""Each type by its OID."""
