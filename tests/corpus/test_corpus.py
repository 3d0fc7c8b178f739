"""Files of every kind, whole and broken: they are imported as a strict reader sees them, or refused with a reason.

`make test-corpus` draws 5,000 new ones; `make test-corpus CASES="csv-17 parquet-4"` draws the ones named.
"""

import os
import random
import time
from pathlib import Path

import pytest

from tests.corpus.compressing import xxh64
from tests.corpus.corpus import Report, run
from tests.corpus.csv_faults import FAULTS as CSV_FAULTS
from tests.corpus.csv_styles import ENCODINGS, LINE_ENDS, QUOTINGS
from tests.corpus.parquet_faults import FAULTS
from tests.corpus.parquet_files import CODECS, ENCODINGS_BY_PHYSICAL_TYPE
from tests.corpus.parquet_nesting import NESTINGS
from tests.corpus.parquet_types import LEAVES

SHARES = {
    "csv": 50, "csv_fault": 17, "jsonl": 42, "parquet": 52, "parquet_fault": 15, "boundary": 15, "boundary_mib": 2,
    "crossing": 4, "crossing_large": 1, "rows": 3, "parquet_rows": 2,
}  # fmt: skip
"""How many files of each kind the suite draws, always the same."""
FIRST = 100
"""The number of the suite's first cases, of which those that follow cover every part of the formats."""
MANY_SHARES = {
    "csv": 1390, "csv_fault": 300, "jsonl": 900, "parquet": 1500, "parquet_fault": 300, "boundary": 400, "crossing": 50,
    "boundary_mib": 60, "boundary_large": 10, "crossing_large": 10, "rows": 40, "parquet_rows": 20, "many_rows": 8,
    "parquet_many_rows": 7, "million_rows": 3, "parquet_million_rows": 2,
}  # fmt: skip
PARQUET_PARTS = {
    *(f"leaf {leaf.name}" for leaf in LEAVES),
    *(f"nesting {nesting}" for nesting in NESTINGS),
    *(f"codec {codec}" for codec in CODECS),
    *(f"encoding {encoding}" for encodings in ENCODINGS_BY_PHYSICAL_TYPE.values() for encoding in encodings),
    *(f"version {version}" for version in ("1.0", "2.4", "2.6")),
    *("encoding RLE_DICTIONARY", "page version 1.0", "page version 2.0", "flavor", "use_deprecated_int96_timestamps"),
    *("store_decimal_as_integer", "write_page_checksum", "coerce_timestamps"),
}
CSV_PARTS = {
    *(f"separator {separator!r}" for separator in ",;\t|"),
    *(f"encoding {encoding}" for encoding in ENCODINGS),
    *(f"line ends {ends}" for ends in LINE_ENDS),
    *(f"quoting {quoting}" for quoting in QUOTINGS),
    *("csv", "csv.gz", "csv.zst", "bad bytes", "surplus empty values", "too few values", "NUL"),
}


def ids(shares: dict[str, int], first: int = FIRST) -> list[str]:
    return [f"{kind}-{first + number}" for kind, count in shares.items() for number in range(count)]


def assert_nothing_differs(report: Report) -> None:
    assert not report.failures, "\n".join(
        [f"{len(report.failures)} files differ", *report.failures[:40], *report.lines()]
    )


@pytest.mark.parametrize("kind", SHARES)
async def test_an_import_reads_the_same_rows_as_a_strict_reader(kind: str, tmp_path: Path) -> None:
    report = await run(ids({kind: SHARES[kind]}), tmp_path)
    assert_nothing_differs(report)
    assert sum(counted["files"] for counted in report.figures.values()) == SHARES[kind]
    wanted = {
        "parquet": PARQUET_PARTS,
        "csv": CSV_PARTS,
        "csv_fault": set(CSV_FAULTS),
        "parquet_fault": set(FAULTS),
    }.get(kind, set())
    assert not wanted - report.tags.keys()  # else the numbers of the cases leave out a part of the format


def test_the_suite_has_at_least_two_hundred_files() -> None:
    assert len(set(ids(SHARES))) >= 200


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_new_files_are_imported_as_a_strict_reader_sees_them(tmp_path: Path) -> None:
    named = os.environ.get("BREAKWATER_TEST_CORPUS", "").split()
    first = random.SystemRandom().randrange(10**9)
    started = time.perf_counter()
    report = await run(named or ids(MANY_SHARES, first), tmp_path)
    pairs = sum(" × " in tag for tag in report.tags)
    seconds = time.perf_counter() - started
    print(f"\nnumbers from {first}, {seconds:.0f} s; {pairs} pairs of a Parquet type and a codec or nesting")  # noqa: T201
    print(*report.lines(), sep="\n")  # noqa: T201
    assert_nothing_differs(report)


@pytest.mark.parametrize(("content", "digest"), [(b"", 0xEF46DB3751D8E999), (b"abc", 0x44BC2CF5AD770999)])
def test_checksums_of_zstandard_are_the_published_ones(content: bytes, digest: int) -> None:
    assert xxh64(content) == digest
