"""Compressed files: what comes out is what went in, checked by what the format itself says of it."""

import gzip
import random

import pyarrow as pa
import pytest

from sources.errors import Unreadable
from sources.file import decompression
from sources.file.decompression import read_blocks

CONTENT = random.Random(3).randbytes(70_000) + b"id,v\n1,a\n" * 30_000
ZSTD = pa.Codec("zstd")


def read(tmp_path, content: bytes, compression) -> bytes:
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        return b"".join(read_blocks(file, compression))


@pytest.mark.parametrize(
    ("compressed", "compression", "wanted"),
    [
        (gzip.compress(CONTENT), "gzip", CONTENT),
        (gzip.compress(CONTENT) + gzip.compress(b"") + gzip.compress(b"more"), "gzip", CONTENT + b"more"),
        (gzip.compress(CONTENT) + bytes(70_000), "gzip", CONTENT),
        (gzip.compress(b"x") * 5000, "gzip", b"x" * 5000),
        (b"", "gzip", b""),
        (ZSTD.compress(CONTENT, asbytes=True) * 2, "zstd", CONTENT * 2),
    ],
    ids=["gzip", "gzip of three", "padded gzip", "gzip of many", "empty", "zstd of two"],
)
def test_all_members_of_a_file_come_out(tmp_path, monkeypatch, compressed, compression, wanted):
    for block_bytes in (1000, 1 << 20):
        monkeypatch.setattr(decompression, "BLOCK_BYTES", block_bytes)
        assert read(tmp_path, compressed, compression) == wanted


def test_blocks_are_no_longer_than_one_may_be_however_much_comes_of_little(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with (tmp_path / "bomb.gz").open("rb") as file:
        assert {len(block) for block in read_blocks(file, "gzip")} <= {1 << 20, 50_000_000 % (1 << 20)}


@pytest.mark.parametrize(
    ("compressed", "compression", "why"),
    [
        (gzip.compress(CONTENT)[:-8] + bytes(8), "gzip", r"damaged \(incorrect data check\)"),
        (gzip.compress(CONTENT)[:-4] + bytes(4), "gzip", r"damaged \(incorrect length check\)"),
        (gzip.compress(CONTENT)[:-1], "gzip", "cut off"),
        (gzip.compress(CONTENT)[:-9], "gzip", "cut off"),
        (gzip.compress(CONTENT) + gzip.compress(b"more")[:-1], "gzip", "cut off"),
        (gzip.compress(CONTENT) + b"rest", "gzip", r"damaged \(incorrect header check\)"),
        (CONTENT, "gzip", r"damaged \(incorrect header check\)"),
        (ZSTD.compress(CONTENT, asbytes=True)[:-1], "zstd", "damaged or cut off"),
        (ZSTD.compress(CONTENT, asbytes=True) + b"rest", "zstd", "damaged or cut off"),
        (CONTENT, "zstd", "damaged or cut off"),
    ],
    ids=[
        "checksum",
        "length",
        "no end",
        "no checksum",
        "second without end",
        "rest",
        "no gzip",
        "zstd without end",
        "zstd and rest",
        "no zstd",
    ],
)
def test_a_file_that_is_not_whole_is_said_to_be_damaged(tmp_path, compressed, compression, why):
    with pytest.raises(Unreadable, match=why):
        read(tmp_path, compressed, compression)


async def test_of_a_gzip_with_a_wrong_checksum_nothing_is_staged(root, staging, open_file):
    (root / "rows.csv.gz").write_bytes(gzip.compress(b"id,v\n1,a\n2,b\n")[:-8] + bytes(8))
    with pytest.raises(Unreadable, match=r'^"rows\.csv\.gz": Its gzip is damaged'):
        await open_file("rows.csv.gz").count()
    assert not list(staging.glob("*"))
