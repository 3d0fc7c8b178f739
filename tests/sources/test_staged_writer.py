"""The staged form: row groups that are read at once are small, whatever the rows are."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from sources.errors import Unreadable
from sources.staged.writer import MAX_COLUMNS, ROW_GROUP_ROWS, VALUE_BYTES, StagedWriter, read_weights

ROWS = 20_000


def group_rows(path) -> list[int]:
    found = parquet.read_metadata(path)
    return [found.row_group(number).num_rows for number in range(found.num_row_groups)]


@pytest.mark.parametrize(
    ("text", "values", "most"),
    [("x", None, ROW_GROUP_ROWS), ("x" * 10_000, None, 1000), ("x", ROWS * 1000, 2000)],
    ids=["narrow", "long", "many values"],
)
def test_a_group_ends_by_its_rows_their_text_or_their_values(tmp_path, text, values, most):
    with StagedWriter(tmp_path / "rows.parquet", [pa.utf8()]) as writer:
        for _ in range(20):
            writer.write([pa.array([text] * (ROWS // 20))], values=values and values // 20)
    groups = group_rows(tmp_path / "rows.parquet")
    assert sum(groups) == writer.rows == ROWS
    assert max(groups) <= most
    weights = read_weights(tmp_path / "rows.parquet")
    assert [rows for rows, _ in weights] == groups
    wanted = ROWS * len(text) + VALUE_BYTES * (values or ROWS)
    assert wanted <= sum(weight for _, weight in weights) <= wanted + 8 * ROWS


def test_more_columns_than_can_be_read_are_refused(tmp_path):
    with pytest.raises(Unreadable, match=f"has {MAX_COLUMNS + 1} columns, more than {MAX_COLUMNS}"):
        StagedWriter(tmp_path / "rows.parquet", [pa.utf8()] * (MAX_COLUMNS + 1))
