"""The hash of an import: two imports with the same hash are the same work."""

import json
from dataclasses import replace

import pytest

from domain.fingerprint import import_hash, import_identity_json
from domain.import_spec import ImportPolicy, ImportSpec, RecordType
from domain.sources.file import FileSource
from domain.sources.sql import SqlSource
from domain.sources.suiteql import SuiteqlSource
from domain.spec import OnDuplicate

CUSTOMER = RecordType("customer", ("id",), FileSource("erp/Kunden ä.csv"))
TRANSACTION = RecordType("transaction", ("id",), SqlSource("erp", "public.transaction"), ("customer",))
LINE = RecordType(
    "line", ("transaction", "line"), SuiteqlSource("netsuite", "transactionline"), ("transaction", "customer")
)
SMALL = ImportSpec(id=None, name="ledger", dataset="ledger", record_types=(CUSTOMER,))
FULL = ImportSpec(
    id="golden",
    name="ledger",
    dataset="erp",
    record_types=(CUSTOMER, TRANSACTION, LINE),
    policy=ImportPolicy(batch_size=1000, count_timeout_seconds=90.5),
)


def with_line(**changes) -> ImportSpec:
    return replace(FULL, record_types=(CUSTOMER, TRANSACTION, replace(LINE, **changes)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (SMALL, "h1:a829fdead110f9091b29e4f031535bf3afd4ad85aaa7908caf6fb8213109275b"),
        (FULL, "h1:6471671ad5975f2f2f919edb1df9d3e86cba27bf62bd24bad7811c5c460c28ac"),
    ],
)
def test_the_hash_of_an_import_never_changes(spec, expected):
    assert import_hash(spec) == expected


def test_the_hashed_text_is_canonical_json_of_the_members_that_count():
    stated = FULL.to_json()
    counted = {name: stated[name] for name in ("kind", "name", "dataset", "policy")}
    counted["record_types"] = sorted(
        ({**record_type, "depends_on": sorted(record_type["depends_on"])} for record_type in stated["record_types"]),
        key=lambda record_type: record_type["id"],
    )
    assert import_identity_json(FULL) == json.dumps(counted, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "same",
    [
        replace(FULL, id="other"),
        replace(FULL, on_duplicate=OnDuplicate.CREATE),
        replace(FULL, metadata={"team": "x"}),
        replace(FULL, record_types=FULL.record_types[::-1]),
        with_line(depends_on=("customer", "transaction")),
    ],
)
def test_changes_without_effect_on_the_work_keep_the_hash(same):
    assert import_hash(same) == import_hash(FULL)


@pytest.mark.parametrize(
    "other",
    [
        replace(FULL, name="Ledger"),
        replace(FULL, dataset="ledger"),
        replace(FULL, record_types=(CUSTOMER, TRANSACTION)),
        replace(FULL, policy=replace(FULL.policy, batch_size=500)),
        replace(FULL, policy=replace(FULL.policy, max_rejects=1)),
        with_line(id="lines"),
        with_line(key=("line", "transaction")),
        with_line(depends_on=("transaction",)),
        with_line(source=SuiteqlSource("netsuite", "line")),
        with_line(source=SuiteqlSource("sandbox", "transactionline")),
        with_line(source=SqlSource("netsuite", "transactionline")),
        with_line(source=FileSource("transactionline")),
    ],
)
def test_a_change_of_the_work_changes_the_hash(other):
    assert import_hash(other) != import_hash(FULL)


def test_equal_seconds_have_one_hash():
    assert import_hash(replace(SMALL, policy=ImportPolicy(count_timeout_seconds=300.0))) == import_hash(SMALL)


def test_paths_in_two_unicode_forms_are_two_files():
    composed, apart = (replace(CUSTOMER, source=FileSource(path)) for path in ("é.csv", "e\u0301.csv"))
    assert import_hash(replace(SMALL, record_types=(composed,))) != import_hash(replace(SMALL, record_types=(apart,)))
