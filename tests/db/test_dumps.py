"""A dump holds the text that PostgreSQL prints of each function; a restore reads it again."""

import asyncpg

FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS definition
FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
"""


async def test_every_function_can_be_made_again_from_its_own_text(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        functions = await connection.fetch(FUNCTIONS)
        assert len(functions) > 10
        failed = {}
        for function in functions:
            try:
                await connection.execute(function["definition"])
            except asyncpg.PostgresError as error:
                failed[function["name"]] = str(error)
    finally:
        await connection.close()
    assert failed == {}
