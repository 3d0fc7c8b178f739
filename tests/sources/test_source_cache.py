"""Sources that stay open between batches: several readers at once, and closing, which takes its time."""

import asyncio

from domain.sources.file import FileSource as FileSpec
from sources.file.source import FileSource
from sources.source_cache import KEPT, OpenSources
from tests.support.reading_sources import ParserHere

FILES = 3 * KEPT


async def test_readers_that_begin_and_end_together_close_no_source_twice_nor_while_it_is_read(root, staging) -> None:
    for number in range(FILES):
        (root / f"{number}.csv").write_text("id\n" + "x\n" * number)
    sources = OpenSources(
        lambda spec, _identity_no: FileSource(root=root, path=spec.path, staging_folder=staging, parser=ParserHere())
    )

    async def count(number: int) -> int:
        async with sources.open(number, FileSpec(f"{number}.csv"), None) as source:
            return await source.count()

    for _ in range(5):
        assert await asyncio.gather(*map(count, range(FILES))) == list(range(FILES))
    await sources.aclose()
