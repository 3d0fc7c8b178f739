"""The staging folder: no other account's rows are imported from it, and none reads ours."""

import json
import os

import pytest

from sources.errors import SourceChanged, SourceUnavailable
from sources.file.source import FileSource
from tests.support.reading_sources import payloads, read_all

CSV = b"id,v\n1,a\n2,b\n"
ROWS = [{"id": "1", "v": "a"}, {"id": "2", "v": "b"}]


@pytest.fixture
def rows(root):
    (root / "rows.csv").write_bytes(CSV)
    return "rows.csv"


async def refused(root, rows, staging) -> str:
    """Why neither a survey nor a read uses this folder."""
    source = FileSource(root=root, path=rows, staging_folder=staging)
    with pytest.raises(SourceUnavailable, match="set BREAKWATER_DATA_DIR") as surveyed:
        await source.count()
    with pytest.raises(SourceUnavailable, match="set BREAKWATER_DATA_DIR") as read:
        await source.read({"staged": "v4-csv-0", "from": 0, "before": 1})
    await source.aclose()
    assert surveyed.value.detail == read.value.detail
    assert str(staging.parent) not in read.value.detail
    return read.value.detail


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
async def test_a_folder_that_others_can_write_is_not_used(root, rows, staging, mode):
    staging.mkdir()
    staging.chmod(mode)
    assert "may be written by other users" in await refused(root, rows, staging)


async def test_rows_that_others_could_have_planted_are_not_read(root, rows, staging, open_file):
    survey = await open_file(rows).ranges(["id"], 5)
    staging.chmod(0o777)
    with pytest.raises(SourceUnavailable, match="may be written by other users"):
        await read_all(open_file(rows), survey)


async def test_nothing_is_touched_in_a_folder_that_others_can_write(root, rows, staging):
    (staging / "dead.unfinished").mkdir(parents=True)
    (staging / "dead.unfinished" / "owner").touch()
    staging.chmod(0o777)
    await refused(root, rows, staging)
    assert [path.name for path in staging.glob("*")] == ["dead.unfinished"]


async def test_a_link_to_a_folder_is_not_used(root, rows, staging, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    staging.symlink_to(tmp_path / "elsewhere")
    assert "is no folder" in await refused(root, rows, staging)


async def test_another_user_s_folder_is_not_used(root, rows, staging, open_file, monkeypatch):
    staging.mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SourceUnavailable, match="belongs to another user: remove it"):
        await open_file(rows).count()


async def test_a_folder_that_others_could_read_is_closed_to_them(root, rows, staging, open_file):
    staging.mkdir(mode=0o755)
    assert await open_file(rows).count() == 2
    assert staging.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("is_surveyed_again", [True, False])
async def test_staged_rows_that_are_not_those_that_were_written_are_staged_again(
    root, staging, rows, open_file, is_surveyed_again
):
    survey = await open_file(rows).ranges(["id"], 5)
    (root / "other.csv").write_bytes(CSV.replace(b"a", b"planted"))
    await open_file("other.csv").count()
    own, other = sorted(staging.glob("v*"), key=lambda path: path.name != survey.ranges[0].range["staged"])
    (other / "rows.parquet").replace(own / "rows.parquet")
    source = open_file(rows)
    if is_surveyed_again:
        assert await source.ranges(["id"], 5) == survey
    assert payloads(await read_all(source, survey)) == ROWS


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"digest": null}', "nonsense"])
async def test_a_damaged_description_of_staged_rows_is_written_again(root, staging, rows, open_file, about):
    survey = await open_file(rows).ranges(["id"], 5)
    (staged,) = staging.glob("v*")
    (staged / "about.json").write_text(about)
    assert payloads(await read_all(open_file(rows), survey)) == ROWS
    assert json.loads((staged / "about.json").read_text())["content"]["rows"] == 2


async def test_a_survey_by_a_version_that_reads_files_otherwise_is_started_again(root, staging, rows, open_file):
    (range_,) = (await open_file(rows).ranges(["id"], 5)).ranges
    earlier = {**range_.range, "staged": range_.range["staged"].replace("v4-", "v3-")}
    with pytest.raises(SourceChanged, match="start the import again"):
        await open_file(rows).read(earlier)
