import asyncpg
import redis


async def test_a_test_gets_an_empty_database_and_an_empty_redis(empty_database_url, redis_url):
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    await connection.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


async def test_killed_engines_start_again_on_the_same_data(own_engines):
    connection = await asyncpg.connect(own_engines.database_url)
    await connection.execute("CREATE TABLE kept (n int)")
    await connection.execute("INSERT INTO kept VALUES (1)")
    own_engines.postgres.kill_immediate()
    connection.terminate()
    own_engines.postgres.start()
    own_engines.valkey.kill()
    own_engines.valkey.start()
    connection = await asyncpg.connect(own_engines.database_url)
    assert await connection.fetchval("SELECT n FROM kept") == 1
    await connection.close()


async def test_two_tests_share_no_tables(database_url, empty_database_url):
    assert database_url != empty_database_url
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()
