"""Imports of a MariaDB table and of a SQLite file from POST to records, each value as the official clients show it."""

import base64
import json
import sqlite3
from contextlib import closing

import pytest

from tests.support.import_bodies import import_body
from tests.support.imports_over_http import get, wait_until_ended
from tests.support.service import api_client

ROWS = 230
COLUMNS = (
    "CREATE TABLE customer"
    " (id bigint unsigned primary key, name varchar(40), price decimal(12,2), at datetime(3), b blob"
)


@pytest.fixture
def settings(tmp_path, monkeypatch, mariadb):
    """Settings by which a table of MariaDB and files below a folder may be read."""
    server, database = mariadb
    (tmp_path / "data").mkdir()
    (tmp_path / "breakwater.toml").write_text(
        f'[imports]\nroot = "data"\n\n[connections.shop]\ntype = "mysql"\nurl_env = "SHOP_URL"\n'
        f'tables = ["{database}.customer"]\n'
    )
    monkeypatch.setenv("SHOP_URL", server.url(database))
    return {"config": tmp_path / "breakwater.toml", "data_dir": tmp_path / "state"}


@pytest.fixture
async def client(start_api, start_worker, database_url, redis_url, settings):
    """A client of an API with a worker."""
    api = start_api(database_url, redis_url, **settings)
    start_worker(database_url, redis_url, **settings)
    async with api_client(api, database_url) as client:
        yield client


async def test_a_table_of_mariadb_and_one_of_sqlite_are_imported_value_by_value(client, mariadb, tmp_path) -> None:
    server, database = mariadb
    server.run(
        f"{COLUMNS}); INSERT INTO customer SELECT 18446744073709551615 - seq, CONCAT('Zoë ', seq), seq / 7,"
        f"'2024-02-29' + INTERVAL seq * 1001 SECOND, UNHEX(LPAD(HEX(seq), 8, '0')) FROM seq_1_to_{ROWS}",
        database=database,
    )
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as written:
        written.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, v, customer)")
        values = [1, 2**62, 0.1, "text", b"\x00\xff", None]
        written.executemany(
            "INSERT INTO line VALUES (?, ?, ?)", [(n, values[n % len(values)], f"c{n}") for n in range(ROWS)]
        )
        written.commit()
    customer = {"type": "mysql", "connection": "shop", "table": "customer"}
    line = {"type": "sqlite", "path": "shop.db", "table": "line"}
    body = import_body(
        {"id": "line", "key": ["id"], "source": line, "depends_on": ["customer"]},
        {"id": "customer", "key": ["id"], "source": customer},
        dataset="other",
        policy={"batch_size": 50},
    )
    answer = await client.post(body)
    assert answer.status_code == 202, answer.text
    job = await wait_until_ended(client, answer.json()["job"]["id"])
    assert job["status"] == "completed", job
    assert (await get(client, f"/jobs/{job['id']}/audit"))["holds"]
    assert await records(client, "customer") == {row["id"]: row for row in shown_by_the_official_client(mariadb)}
    assert await records(client, "line") == {str(row["id"]): row for row in read_by_hand(tmp_path / "data" / "shop.db")}


async def records(client, record_type):
    found = {}
    cursor = {}
    while True:
        page = await get(client, "/datasets/other/records", record_type=record_type, limit=100, **cursor)
        found |= {item["record_key"]: item["payload"] for item in page["items"]}
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def shown_by_the_official_client(mariadb):
    server, database = mariadb
    shown = server.run("SELECT id, name, price, at, HEX(b) FROM customer", database=database)
    assert len(shown) == ROWS
    return [
        {
            "id": number,
            "name": name,
            "price": price,
            "at": at.replace(" ", "T").removesuffix(".000"),
            "b": base64.b64encode(bytes.fromhex(content)).decode(),
        }
        for number, name, price, at, content in shown
    ]


def read_by_hand(path):
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT id, v, customer FROM line").fetchall()
    assert len(rows) == ROWS
    return [
        {"id": n, "v": base64.b64encode(v).decode() if isinstance(v, bytes) else v, "customer": c} for n, v, c in rows
    ]


async def test_a_dry_run_counts_both_and_reports_the_errors_of_each(client, mariadb, tmp_path) -> None:
    server, database = mariadb
    server.run(f"{COLUMNS}); INSERT INTO customer (id) VALUES (1), (2)", database=database)
    (tmp_path / "data" / "shop.db").write_bytes(b"id,name\n")
    types = [
        {"id": "customer", "key": ["id"], "source": {"type": "mysql", "connection": "shop", "table": "customer"}},
        {"id": "line", "key": ["id"], "source": {"type": "sqlite", "path": "shop.db", "table": "line"}},
    ]
    answer = await client.post(import_body(*types), dry_run=True)
    customer, line = answer.json()["planned"]["by_record_type"]
    assert (customer["rows"], customer["error"]) == (2, None)
    assert line["error"] == {
        "code": "unreadable",
        "detail": '"shop.db": It is no SQLite 3 database, or it is encrypted: write it anew.',
    }
    refused = await client.post(import_body({**types[0], "source": {**types[0]["source"], "table": "mysql.user"}}))
    assert refused.status_code == 422
    assert json.dumps(refused.json()).count("unknown_table")
