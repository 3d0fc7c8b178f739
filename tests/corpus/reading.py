"""Importing a file of the corpus the way a worker does: surveyed, and every range read."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

from sources.errors import SourceError
from sources.file.source import FileSource
from tests.corpus.expected import Case
from tests.corpus.judging import Imported, ImportedRow, Refused
from tests.support.reading_sources import ParserHere

SECONDS = 300
"""No file of the corpus takes as long, on a busy machine either."""


async def import_case(case: Case, root: Path, staging: Path) -> Imported | Refused:
    """Write the file below the root, import it, and return the result."""
    (root / case.name).write_bytes(case.content)
    async with aclosing(FileSource(root=root, path=case.name, staging_folder=staging, parser=ParserHere())) as source:
        try:
            async with asyncio.timeout(SECONDS):
                columns = await source.columns()
                survey = await source.ranges(case.key, case.batch_size)
                rows = [row for part in survey.ranges for row in await source.read(part.range)]
        except SourceError as error:
            return Refused(error.code, error.detail)
        except Exception as error:  # noqa: BLE001 - nothing else may be raised: the judge says so
            return Refused("raised", repr(error))
    # As the JSON that is stored: a decimal's digits are a kind of text of the sources' own.
    found = [
        ImportedRow(row.position, json.loads(json.dumps(row.payload)), row.defect, row.line, row.is_repeated)
        for row in rows
    ]
    return Imported(columns, survey.rows, found)
