import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sources.errors import (
    KeyMissing,
    SourceBusy,
    SourceChanged,
    SourceNotConfigured,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    TooManyBatches,
    UnknownColumn,
)
from sources.suiteql import service as suiteql_service
from sources.suiteql.service import OFFSET_CAP_ROWS, SuiteqlConnection
from sources.suiteql.source import SuiteqlSource
from tests.support.suiteql_server import TOKEN, suiteql_server
from tests.support.waiting import eventually_async

QUERIES = {
    "customer": "SELECT id, name, memo FROM customer -- all of them",
    "transactionline": "SELECT transactionid, line, amount FROM transactionline;",
    "nowhere": "SELECT id FROM nowhere",
    "any_keys": "SELECT * FROM any_keys",
}


@pytest.fixture
def server():
    with suiteql_server() as started:
        started.database.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, memo TEXT)")
        started.database.execute(
            "CREATE TABLE transactionline (transactionid INTEGER, line INTEGER, amount NUMERIC,"
            " PRIMARY KEY (transactionid, line))"
        )
        yield started


@pytest.fixture
async def connection(server):
    opened = SuiteqlConnection(server.url, token=TOKEN, queries=QUERIES)
    yield opened
    await opened.aclose()


@pytest.fixture
def no_waiting(monkeypatch):
    """Backoff as it is, but in thousandths."""
    monkeypatch.setattr(suiteql_service, "_BACKOFF_BASE_SECONDS", 0.0005)
    monkeypatch.setattr(suiteql_service, "_BACKOFF_CAP_SECONDS", 0.03)


def fill_customers(server, rows, *, step=1, name="c{}"):
    server.database.executemany(
        "INSERT INTO customer VALUES (?, ?, ?)",
        ((number * step, name.format(number), None if number % 2 else "even") for number in range(rows)),
    )


async def read_all(source, survey):
    return [row for source_range in survey.ranges for row in await source.read(source_range.range)]


async def test_ranges_along_the_key_partition_the_rows_and_are_read_again_the_same(server, connection):
    fill_customers(server, 1234, step=7)
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["id"], 100)
    assert (survey.rows, survey.is_complete, survey.detail) == (1234, True, None)
    assert [part.rows for part in survey.ranges] == [100] * 12 + [34]
    rows = await read_all(source, survey)
    assert [row.payload["id"] for row in rows] == [str(number * 7) for number in range(1234)]
    assert [row.position for row in rows] == list(range(1234))
    assert rows[0].payload == {"id": "0", "name": "c0", "memo": "even"}  # without links
    assert "memo" not in rows[1].payload  # the service leaves out what is null
    assert await read_all(SuiteqlSource(connection, "customer"), survey) == rows


async def test_rows_added_and_removed_between_survey_and_reading_move_no_range(server, connection):
    fill_customers(server, 1000, step=2)
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["id"], 100)
    server.database.execute("DELETE FROM customer WHERE id < 100")
    server.database.execute("INSERT INTO customer VALUES (1001, 'new', NULL), (5000, 'behind', NULL)")
    server.forget()
    ids = [int(row.payload["id"]) for row in await read_all(source, survey)]
    assert ids == sorted({*range(100, 2000, 2), 1001})


async def test_beyond_the_cap_all_rows_are_reached_by_the_key(server, connection):
    rows = 2 * OFFSET_CAP_ROWS + 12_345
    server.database.executemany(
        "INSERT INTO transactionline VALUES (?, ?, ?)", ((number // 3, number % 3, number) for number in range(rows))
    )
    source = SuiteqlSource(connection, "transactionline")
    survey = await source.ranges(["transactionid", "line"], 500)
    assert (survey.rows, survey.is_complete, survey.detail) == (rows, True, None)
    assert sum(part.rows for part in survey.ranges) == rows
    assert {part.rows for part in survey.ranges[:-1]} == {500}
    at_the_cap = OFFSET_CAP_ROWS // 500
    for part in [*survey.ranges[:2], *survey.ranges[at_the_cap - 2 : at_the_cap + 2], survey.ranges[-1]]:
        read = await source.read(part.range)
        first = read[0].position
        assert [int(row.payload["amount"]) for row in read] == list(range(first, first + part.rows))
    assert {call.status for call in server.calls} == {200}
    assert max(call.offset for call in server.calls) < OFFSET_CAP_ROWS
    assert server.most_in_flight <= 5


async def test_a_query_of_too_many_batches_is_counted_and_not_paged(server, connection):
    fill_customers(server, 100_001)
    with pytest.raises(TooManyBatches, match=r"give policy\.batch_size 2 or more"):
        await SuiteqlSource(connection, "customer").ranges(["id"], 1)
    assert len(server.calls) < 10


async def test_where_the_key_cannot_be_paged_by_the_survey_is_incomplete_with_numbers(server, connection):
    fill_customers(server, OFFSET_CAP_ROWS + 1)
    server.takes_wrapped_queries = False
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["id"], 500)
    assert (survey.rows, survey.is_complete) == (OFFSET_CAP_ROWS + 1, False)
    assert f"{OFFSET_CAP_ROWS} of {OFFSET_CAP_ROWS + 1} rows can be read" in survey.detail
    assert sum(part.rows for part in survey.ranges) == OFFSET_CAP_ROWS
    last = await source.read(survey.ranges[-1].range)
    assert [row.position for row in last] == list(range(OFFSET_CAP_ROWS - 500, OFFSET_CAP_ROWS))


@pytest.mark.parametrize(("rows", "batch_size"), [(1, 500), (999, 1000), (2500, 7), (2500, 1500), (3000, 1000)])
async def test_below_the_cap_positions_cut_all_rows(server, connection, rows, batch_size):
    fill_customers(server, rows)
    server.takes_wrapped_queries = False
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["id"], batch_size)
    assert (survey.rows, survey.is_complete) == (rows, True)
    assert "by position" in survey.detail
    read = await read_all(source, survey)
    assert [int(row.payload["id"]) for row in read] == list(range(rows))
    assert [row.position for row in read] == list(range(rows))


async def test_a_key_that_the_service_orders_by_other_rules_than_it_compares_is_not_cut_along(server, connection):
    server.database.executemany("INSERT INTO customer VALUES (?, ?, NULL)", enumerate(["b", "B", "a", "A", "c", "C"]))
    server.orders_text_by_rules = True
    survey = await SuiteqlSource(connection, "customer").ranges(["name"], 2)
    assert survey.is_complete
    assert "doesn't order the key's values as it compares them" in survey.detail
    assert all("page" in part.range for part in survey.ranges)


@pytest.mark.parametrize("name", ["{:04}", "it's {:04} \u00e9", "{}"])
async def test_text_keys_that_look_like_anything_partition_the_rows(server, connection, name):
    fill_customers(server, 300, name=name)
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["name"], 50)
    assert survey.detail is None
    rows = await read_all(source, survey)
    assert {int(row.payload["id"]) for row in rows} == set(range(300))
    assert len(rows) == 300


async def test_equal_keys_stay_in_one_range(server, connection):
    fill_customers(server, 25)
    server.database.execute("UPDATE customer SET memo = CASE WHEN id BETWEEN 4 AND 17 THEN 'm' ELSE 'a' || id END")
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["memo"], 5)
    rows = [[row.payload["memo"] for row in await source.read(part.range)] for part in survey.ranges]
    assert [len(row) for row in rows] == [part.rows for part in survey.ranges]
    assert sum(len(row) for row in rows) == 25
    assert [row.count("m") for row in rows if "m" in row] == [14]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(
        st.tuples(
            st.none() | st.integers(-20, 2000),
            st.none() | st.text(st.sampled_from("aAb'é0-% ") | st.sampled_from("015.-"), min_size=1, max_size=5),
        ),
        max_size=50,
    ),
    batch_size=st.integers(1, 20),
)
@example(keys=[(None, "00")], batch_size=1)
@example(keys=[(None, "-0"), (1, "-0")], batch_size=1)
@example(keys=[(None, "1.10"), (2, "1.20"), (3, "1.30")], batch_size=1)
@example(keys=[(None, "-0.0")], batch_size=1)
@example(keys=[(None, "1\u0663"), (None, "12345678901234567890123")], batch_size=1)
@example(keys=[(None, "0"), (2, "7"), (10, "8")], batch_size=1)
async def test_ranges_partition_the_rows_for_any_keys(server, connection, keys, batch_size):
    server.forget()
    server.database.execute("DROP TABLE IF EXISTS any_keys")
    server.database.execute("CREATE TABLE any_keys (row_no INTEGER, number INTEGER, word TEXT)")
    server.database.executemany("INSERT INTO any_keys VALUES (?, ?, ?)", ((no, *key) for no, key in enumerate(keys)))
    source = SuiteqlSource(connection, "any_keys")
    for key in (["number", "word"], ["word"], ["number"]) if keys else ():
        if not set(key) <= set(await source.columns()):
            continue
        survey = await source.ranges(key, batch_size)
        assert survey.is_complete
        read = [await source.read(part.range) for part in survey.ranges]
        assert [len(rows) for rows in read] == [part.rows for part in survey.ranges]
        assert sorted(int(row.payload["row_no"]) for rows in read for row in rows) == list(range(len(keys)))
        assert [row.position for rows in read for row in rows] == list(range(len(keys)))


async def test_rows_without_a_key_are_a_range_of_their_own(server, connection):
    fill_customers(server, 100)
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["memo", "id"], 20)
    assert survey.rows == sum(part.rows for part in survey.ranges) == 100
    assert survey.detail == "50 of 100 rows have no value in the key."
    rows = await source.read(survey.ranges[-1].range)
    assert [row.position for row in rows] == list(range(50, 100))
    assert not any("memo" in row.payload for row in rows)


async def test_too_many_rows_without_a_key_are_an_error(server, connection):
    server.database.executemany("INSERT INTO customer VALUES (?, 'x', NULL)", ((number,) for number in range(10_002)))
    server.database.execute("UPDATE customer SET memo = 'y' WHERE id = 1")
    with pytest.raises(KeyMissing, match="10001 of 10002 rows have no value"):
        await SuiteqlSource(connection, "customer").ranges(["memo"], 500)


async def test_no_rows_are_no_ranges(server, connection):
    survey = await SuiteqlSource(connection, "customer").ranges(["anything"], 10)
    assert (survey.rows, list(survey.ranges), survey.is_complete) == (0, [], True)


async def test_columns_are_those_that_rows_show(server, connection):
    fill_customers(server, 3)
    source = SuiteqlSource(connection, "customer")
    assert await source.columns() == ("id", "name", "memo")
    with pytest.raises(UnknownColumn, match='"nam": did you mean "name"'):
        await source.ranges(["nam"], 10)


async def test_a_spec_can_only_name_a_configured_query(connection):
    with pytest.raises(SourceNotConfigured, match='"any_keys", "customer", "nowhere"'):
        SuiteqlSource(connection, "SELECT 1")


async def test_a_query_that_the_service_refuses_is_reported_without_its_words(connection):
    with pytest.raises(SourceRefused, match="400 INVALID_PARAMETER") as refused:
        await SuiteqlSource(connection, "nowhere").count()
    assert not refused.value.retryable


async def test_a_wrong_token_is_refused_at_once_and_not_shown(server):
    connection = SuiteqlConnection(server.url, token=TOKEN[::-1], queries=QUERIES)
    with pytest.raises(SourceRefused, match="401 INVALID_LOGIN") as refused:
        await SuiteqlSource(connection, "customer").count()
    assert TOKEN[::-1] not in str(refused.value)
    assert len(server.calls) == 1
    await connection.aclose()


@pytest.mark.parametrize("around", ["{}", "INVALID_{}_", "{}" + "A" * 90])
async def test_a_token_that_the_service_repeats_as_its_code_is_not_shown(server, around):
    given = "AB12CD34EF56"
    server.code = around.format(given)
    connection = SuiteqlConnection(server.url, token=given, queries=QUERIES)
    with pytest.raises(SourceRefused, match=r"refused the connection's token \(401\)") as refused:
        await SuiteqlSource(connection, "customer").count()
    assert given not in str(refused.value)
    await connection.aclose()


async def test_another_query_under_the_same_name_is_not_read_by_old_ranges(server, connection):
    fill_customers(server, 10)
    survey = await SuiteqlSource(connection, "customer").ranges(["id"], 5)
    other = SuiteqlConnection(server.url, token=TOKEN, queries={"customer": "SELECT id FROM customer"})
    with pytest.raises(SourceChanged):
        await SuiteqlSource(other, "customer").read(survey.ranges[0].range)
    await other.aclose()


async def test_a_busy_or_failing_service_is_asked_again(server, connection, no_waiting):
    fill_customers(server, 10)
    server.refusals = [(429, {}), (429, {"Retry-After": "0"}), (503, {}), (429, {})]
    assert await SuiteqlSource(connection, "customer").count() == 10
    assert [call.status for call in server.calls] == [429, 429, 503, 429, 200]


async def test_a_service_that_stays_busy_is_given_up_after_a_deadline(server, no_waiting):
    connection = SuiteqlConnection(server.url, token=TOKEN, queries=QUERIES, retry_seconds=0.2)
    server.refusals = [(429, {})] * 10_000
    with pytest.raises(SourceBusy, match="429 CONCURRENCY_LIMIT_EXCEEDED") as busy:
        await SuiteqlSource(connection, "customer").count()
    assert busy.value.retryable
    server.refusals = [(429, {"Retry-After": "3600"})]
    with pytest.raises(SourceBusy) as busy:
        await SuiteqlSource(connection, "customer").count()
    assert busy.value.retry_after_seconds == 3600
    await connection.aclose()


async def test_clients_that_were_refused_together_do_not_return_together(monkeypatch, no_waiting):
    waits = {suiteql_service._wait_seconds(6, SourceBusy("busy")) for _ in range(100)}
    assert len(waits) > 50
    assert max(waits) <= 0.03


async def test_never_more_than_five_calls_are_in_flight(server, connection):
    fill_customers(server, 20_000)
    server.let_go.clear()
    source = SuiteqlSource(connection, "customer")
    calls = [asyncio.create_task(source.count()) for _ in range(50)]
    await eventually_async(lambda: _is(server.in_flight == 5))
    server.let_go.set()
    assert await asyncio.gather(*calls) == [20_000] * 50
    assert server.most_in_flight == 5
    assert {call.status for call in server.calls} == {200}


async def _is(value):
    return value


async def test_an_unavailable_or_silent_service_is_reported_as_such(server, unused_tcp_port, no_waiting):
    unreachable = SuiteqlConnection(
        f"http://127.0.0.1:{unused_tcp_port}", token=TOKEN, queries=QUERIES, retry_seconds=0.1
    )
    with pytest.raises(SourceUnavailable, match="ConnectError"):
        await SuiteqlSource(unreachable, "customer").count()
    await unreachable.aclose()
    server.let_go.clear()
    silent = SuiteqlConnection(server.url, token=TOKEN, queries=QUERIES, call_seconds=0.1, retry_seconds=0)
    with pytest.raises(SourceTimeout):
        await SuiteqlSource(silent, "customer").count()
    await silent.aclose()


async def test_a_survey_can_be_cancelled_while_calls_are_out(server, connection):
    fill_customers(server, 20_000)
    server.let_go.clear()
    survey = asyncio.create_task(SuiteqlSource(connection, "customer").ranges(["id"], 500))
    await eventually_async(lambda: _is(server.in_flight >= 1))
    survey.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(survey, 1)


async def test_a_value_that_cannot_be_stored_is_a_defect_of_its_row_alone(server, connection):
    server.database.execute("INSERT INTO customer VALUES (1, 'a' || char(0) || 'b', 'kept'), (2, 'fine', NULL)")
    source = SuiteqlSource(connection, "customer")
    survey = await source.ranges(["id"], 10)
    broken, fine = await source.read(survey.ranges[0].range)
    assert broken.payload == {"id": "1", "memo": "kept"}
    assert "name holds a NUL character" in broken.defect
    assert (fine.payload, fine.defect) == ({"id": "2", "name": "fine"}, None)
