"""Incident 40: at the service's cap of 99,000 rows a type was marked complete. What can't be read makes it partial."""

from tests.support.configurations import commit_file
from tests.support.connections import publish_envelopes
from tests.support.import_bodies import import_body, store_import
from tests.support.outcomes import all_ended
from tests.support.suiteql_server import OFFSET_CAP_ROWS, TOKEN, suiteql_server

CONFIG = """
[connections.netsuite]
type = "suiteql"
url_env = "NETSUITE_URL"
token_env = "NETSUITE_TOKEN"

[connections.netsuite.queries]
line = "SELECT id, memo FROM line"
"""


async def test_rows_behind_the_cap_make_the_job_partial_with_their_numbers(
    fleet, connection, tmp_path, redis_url
) -> None:
    (tmp_path / "suiteql.toml").write_text(CONFIG)
    commit_file(fleet.database_url, tmp_path / "suiteql.toml")
    with suiteql_server() as service:
        service.takes_wrapped_queries = False  # so that it can't be asked to go on behind a key
        service.database.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, memo TEXT)")
        rows = ((n, f"Line {n}") for n in range(OFFSET_CAP_ROWS + 500))
        service.database.executemany("INSERT INTO line VALUES (?, ?)", rows)
        fleet.environment = {"NETSUITE_URL": service.url, "NETSUITE_TOKEN": TOKEN}
        source = {"type": "suiteql", "connection": "netsuite", "query": "line"}
        given = import_body({"id": "line", "key": ["id"], "source": source}, policy={"batch_size": 1000})
        job_no = await store_import(connection, given)
        fleet.start(1, CONFIG=tmp_path / "suiteql.toml")
        await publish_envelopes(redis_url, [job_no])
        await all_ended(connection, seconds=90)
    job = await connection.fetchrow("SELECT status, planned, completed FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("partial", 99, 99)
    record_type = await connection.fetchrow(
        "SELECT rows_expected, is_complete, detail FROM record_types WHERE job_no = $1", job_no
    )
    assert (record_type["rows_expected"], record_type["is_complete"]) == (99_500, False)
    assert "99000" in record_type["detail"].replace(",", "")
    assert await connection.fetchval("SELECT sum(rows_read) FROM import_batches WHERE job_no = $1", job_no) == 99_000
