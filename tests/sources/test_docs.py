"""The example of docs/reference/sources/file.md is what really happens."""

import json
import re
from pathlib import Path

from tests.support.reading_sources import read_all
from worker.imports.records import to_records

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sources" / "file.md"
EXAMPLE = re.compile(r"^```csv\n(.*?)^```\n.*?^```json\n(.*?)^```$", re.DOTALL | re.MULTILINE)


async def test_the_csv_of_the_documentation_gives_the_documented_rows(root, open_file):
    ((written, wanted),) = EXAMPLE.findall(PAGE.read_text())
    (root / "rows.csv").write_text(written)
    source = open_file("rows.csv")
    records = to_records(await read_all(source, await source.ranges(["id"], 10)), ("id",))
    payloads = [json.loads(row.payload) for row in records.taken]
    assert [*payloads, *(reject.detail for reject in records.rejected)] == json.loads(wanted)
