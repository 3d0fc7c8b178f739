import os
import socket
from pathlib import Path

import pytest

from sources.errors import SourceError, SourceForbidden, SourceMissing
from sources.staged import paths
from sources.staged.paths import open_inside


def read(root, path):
    with open_inside(root, path) as file:
        return os.pread(file, 100, 0)


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.csv").write_text("geheim")
    return folder


def test_a_file_below_the_root_is_opened_through_links_that_stay_inside(root):
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "rows.csv").write_bytes(b"rows")
    (root / "folder").symlink_to("a/b")
    (root / "link.csv").symlink_to(root / "a" / "b" / "rows.csv")
    for path in ("a/b/rows.csv", "folder/rows.csv", "link.csv", "a/./b/rows.csv"):
        assert read(root, path) == b"rows"


def test_a_path_that_leaves_the_root_and_comes_back_is_refused_too(root):
    (root / "a").mkdir()
    (root / "rows.csv").write_bytes(b"rows")
    for path in ("a/../rows.csv", str(root / "rows.csv"), "../imports/rows.csv"):
        with pytest.raises(SourceForbidden):
            read(root, path)


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (root / "rows.csv").write_bytes(b"rows")
    (tmp_path / "elsewhere").symlink_to(root)
    assert read(tmp_path / "elsewhere", "rows.csv") == b"rows"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside/secret.csv",
        "a/../../outside/secret.csv",
        "link.csv",
        "folder/secret.csv",
        "up/outside/secret.csv",
        "..",
    ],
)
def test_no_path_leaves_the_root(root, outside, path):
    (root / "a").mkdir()
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "folder").symlink_to(outside)
    (root / "up").symlink_to("..")
    with pytest.raises(SourceForbidden) as refused:
        read(root, path)
    assert "outside/" not in str(refused.value).replace(path, "")


@pytest.mark.parametrize("path", ["", ".", "folder", "pipe.csv", "socket.csv", "/", "nul\0.csv", "folder/"])
def test_a_path_to_no_regular_file_is_refused_at_once(root, path):
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)  # a socket's path must be short
        try:
            listening.bind("socket.csv")
        finally:
            os.chdir(here)
        with pytest.raises(SourceForbidden):
            read(root, path)


@pytest.mark.parametrize("path", ["nothing.csv", "rows.csv/more.csv", "circle.csv", "\ud800.csv", "x" * 300 + ".csv"])
def test_a_path_that_does_not_exist_is_missing(root, path):
    (root / "rows.csv").write_text("rows")
    (root / "circle.csv").symlink_to("circle.csv")
    with pytest.raises(SourceError) as missing:
        read(root, path)
    assert missing.value.code in {"source_missing", "source_unavailable"}


def test_a_missing_root_is_reported(tmp_path):
    with pytest.raises(SourceMissing, match="import root"):
        read(tmp_path / "nowhere", "rows.csv")


@pytest.mark.parametrize("swapped", ["folder", "folder/rows.csv"])
def test_a_link_that_appears_after_the_way_was_resolved_is_not_followed(root, outside, monkeypatch, swapped):
    (root / "folder").mkdir()
    (root / "folder" / "rows.csv").write_text("rows")
    (outside / "rows.csv").write_text("geheim")
    resolve = paths._parts_below_root

    def resolve_and_swap(*arguments):
        parts = resolve(*arguments)
        (root / swapped).rename(root / "moved")
        (root / swapped).symlink_to(outside / ("rows.csv" if swapped.endswith(".csv") else ""))
        return parts

    monkeypatch.setattr(paths, "_parts_below_root", resolve_and_swap)
    with pytest.raises(SourceError) as refused:
        read(root, "folder/rows.csv")
    assert refused.value.code in {"source_forbidden", "source_missing"}


HIDDEN = (
    "theirs/rows.csv",
    "theirs/below/rows.csv",
    "theirs/circle.csv",
    "theirs/out.csv",
    "theirs/nothing.csv",
    "theirs/rows.csv/rows.csv",
    "link.csv",
    "folder/rows.csv",
    "way/below/rows.csv",
    "theirs",
    "way",
)


@pytest.mark.parametrize("path", HIDDEN)
def test_what_lies_below_a_hidden_folder_is_missing_like_what_never_was(root, outside, path):
    theirs = root / "theirs"
    (theirs / "below").mkdir(parents=True)
    for folder in (theirs, theirs / "below"):
        (folder / "rows.csv").write_bytes(b"rows")
    (theirs / "circle.csv").symlink_to("circle.csv")
    (theirs / "out.csv").symlink_to(outside / "secret.csv")
    (root / "link.csv").symlink_to("theirs/rows.csv")
    (root / "folder").symlink_to("theirs/below")
    (root / "way").symlink_to(theirs)
    with (
        pytest.raises(SourceMissing) as refused,
        open_inside(root, path, hidden=[theirs, root / "not there"]),
    ):
        pass
    with pytest.raises(SourceMissing) as missing, open_inside(root, "no/rows.csv"):
        pass
    assert refused.value.detail.replace(path, "no/rows.csv") == missing.value.detail


def test_a_hidden_folder_hides_nothing_beside_it_nor_a_root_within_it(root):
    (root / "theirs" / "ours").mkdir(parents=True)
    (root / "rows.csv").write_bytes(b"rows")
    (root / "theirs" / "ours" / "rows.csv").write_bytes(b"more")
    with open_inside(root, "rows.csv", hidden=[root / "theirs"]) as file:
        assert os.pread(file, 100, 0) == b"rows"
    with open_inside(root / "theirs" / "ours", "rows.csv", hidden=[root / "theirs"]) as file:
        assert os.pread(file, 100, 0) == b"more"


def test_a_root_that_is_the_hidden_folder_under_another_name_gives_nothing(root, tmp_path):
    (root / "rows.csv").write_bytes(b"rows")
    (tmp_path / "same").symlink_to(root)
    with pytest.raises(SourceMissing), open_inside(tmp_path / "same", "rows.csv", hidden=[root]):
        pass
