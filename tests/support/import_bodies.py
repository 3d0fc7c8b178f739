"""Imports as a client would post them, the configuration that they need, and imports stored as a POST would."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from db import configurations, submissions
from db.engine import Connection
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.normalize import normalize
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from domain.registry import Connection as ConfiguredConnection
from domain.sources.sql import SqlSource
from domain.sources.suiteql import SuiteqlSource
from domain.table_names import TableName

TABLES = (
    *(f"erp.{name}" for name in ("customer", "line", "base", "wide", "gate", "quick", "keyed")),
    *(f"erp.slow_{number}" for number in range(4)),
    *(f"erp.t{level}_{number}" for level in range(5) for number in range(3)),
    *("public.held", "public.line", "public.t"),
)
"""What the connection `erp` of these tests may read."""


def listed(*names: str) -> frozenset[TableName]:
    """Tables as a registry has them."""
    return frozenset(table for table in map(TableName.parse, names) if table is not None)


REGISTRY = Registry(
    regions=DEFAULT_REGIONS,
    questions=DEFAULT_QUESTIONS,
    connections={
        "erp": ConfiguredConnection(SqlSource.type_name, tables=listed(*TABLES)),
        "netsuite": ConfiguredConnection(SuiteqlSource.type_name, frozenset({"line"})),
    },
    has_import_root=True,
)


def import_body(*record_types: dict[str, Any], **members: Any) -> dict[str, Any]:
    """An import as a client would post it."""
    return {"kind": "import", "name": "ledger", "record_types": list(record_types), **members}


def csv_type(type_id: str, *, key: Sequence[str] = ("id",), depends_on: Sequence[str] = ()) -> dict[str, Any]:
    """A record type that is read from `<its id>.csv`."""
    source = {"type": "file", "path": f"{type_id}.csv"}
    return {"id": type_id, "key": list(key), "source": source, "depends_on": list(depends_on)}


def table_type(type_id: str, *, key: Sequence[str] = ("id",), depends_on: Sequence[str] = ()) -> dict[str, Any]:
    """A record type that is read from the table with its id."""
    source = {"type": "sql", "connection": "erp", "table": type_id}
    return {"id": type_id, "key": list(key), "source": source, "depends_on": list(depends_on)}


async def store_import(connection: Connection, body: dict[str, Any]) -> int:
    """Store an import as a POST would; return its key. No envelope is published."""
    normalized = normalize(body, REGISTRY)
    found = await configurations.read_current(connection)
    assert found is not None
    job = NewJob(
        tenant_no=DEFAULT_TENANT_NO,
        id=f"import-{secrets.token_hex(6)}",
        kind=normalized.spec.kind,
        name=normalized.spec.name,
        spec_hash=normalized.spec_hash,
        submitted="{}",
        spec=orjson.dumps(normalized.spec.to_json()).decode(),
        normalization="[]",
        configuration_no=found.configuration_no,
        identity_nos=sorted(found.identity_nos[key] for key in normalized.wanted),
    )
    return (await submissions.insert_jobs(connection, [job]))[job.tenant_no, job.id]


def configured(folder: Path) -> Path:
    """A configuration with an import root, `folder / "data"`, and a connection whose URL is in ERP_URL."""
    (folder / "data").mkdir(exist_ok=True)
    path = folder / "breakwater.toml"
    path.write_text(
        f'[imports]\nroot = "data"\n\n[connections.erp]\nurl_env = "ERP_URL"\ntables = {json.dumps(TABLES)}\n'
    )
    return path
