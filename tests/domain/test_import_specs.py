"""Imports: names, layout, policy, and the answer of a reading."""

import json

import pytest

from domain.fingerprint import import_hash
from domain.import_spec import ImportSpec
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from tests.domain.bodies import REGISTRY, again, errors_of, file_type, importing, notes_of, plain, read, refusals

LEDGER = {
    "id": "ledger-1",
    "kind": "import",
    "name": "ledger",
    "dataset": "erp",
    "record_types": [
        {"id": "customer", "key": ["id"], "source": {"type": "file", "path": "erp/customer.parquet"}},
        {
            "id": "transaction",
            "key": ["id"],
            "depends_on": ["customer"],
            "source": {"type": "sql", "connection": "erp", "table": "public.transaction"},
        },
        {
            "id": "transactionline",
            "key": ["transaction", "line"],
            "depends_on": ["transaction"],
            "source": {"type": "suiteql", "connection": "netsuite", "query": "transactionline"},
        },
    ],
    "policy": {"batch_size": 1000},
    "on_duplicate": "reject",
    "metadata": {"team": "finance"},
}


def test_an_import_is_read_as_it_will_run():
    assert read(LEDGER).spec.to_json() == {
        **LEDGER,
        "record_types": [{"depends_on": [], **record_type} for record_type in LEDGER["record_types"]],
        "policy": {
            "batch_size": 1000,
            "batches_per_wave": 300,
            "max_concurrent": 10,
            "count_timeout_seconds": 300,
            "max_rejects": 0,
            "max_attempts": 3,
        },
    }


def test_a_reading_comes_with_the_hash_of_its_spec():
    assert read(LEDGER).spec_hash == import_hash(read(LEDGER).spec)


def test_only_numbers_that_need_no_count_are_planned():
    assert read(LEDGER).planned.to_json() == {
        "record_types": 3,
        "levels": 3,
        "waves": None,
        "batches": None,
        "rows": None,
    }


def test_nothing_keeps_a_right_import_from_being_made():
    assert read(LEDGER).refusal is None


def test_a_stored_import_comes_back_as_it_was():
    spec = read(LEDGER).spec
    assert ImportSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_normalized_import_is_read_without_a_note():
    assert (again(read(LEDGER).spec).spec, again(read(LEDGER).spec).notes) == (read(LEDGER).spec, ())


def test_the_dataset_is_the_name_unless_given():
    assert read(importing()).spec.dataset == "ledger"
    assert notes_of(importing(), "defaulted") == [{"path": "/dataset", "action": "defaulted", "to": "ledger"}]


def test_the_name_is_the_dataset_unless_given():
    body = importing(name=None, dataset="erp")
    assert (read(body).spec.name, read(body).spec.dataset) == ("erp", "erp")
    assert notes_of(body, "defaulted") == [{"path": "/name", "action": "defaulted", "to": "erp"}]


def test_an_import_without_any_name_is_refused_since_its_rows_would_land_among_those_of_others():
    assert refusals(importing(name=None)) == [("/name", "name_missing")]


@pytest.mark.parametrize("name", ["name", "dataset"])
@pytest.mark.parametrize(("value", "code"), [(1, "wrong_type"), ("", "empty"), ("x" * 201, "too_long")])
def test_a_wrong_name_is_refused(name, value, code):
    assert refusals(importing(**{name: value})) == [(f"/{name}", code)]


def test_a_long_name_is_cut_where_it_is_noted():
    (note,) = notes_of(importing(name="x" * 200), "defaulted")
    assert len(note["to"]) == 100


def test_a_dataset_is_trimmed_and_that_is_noted():
    assert read(importing(dataset=" erp ")).spec.dataset == "erp"
    assert [note["path"] for note in notes_of(importing(dataset=" erp "), "canonicalized")] == ["/dataset"]


@pytest.mark.parametrize("name", ["id", "dataset", "policy", "on_duplicate", "metadata"])
def test_null_counts_as_not_given(name):
    assert read(importing(**{name: None})).spec == read(importing()).spec


def test_a_wrong_id_is_refused():
    assert refusals(importing(id="-a")) == [("/id", "invalid_id")]


def test_secrets_of_the_metadata_are_redacted():
    assert read(importing(metadata={"signature": "s"})).spec.metadata == {"signature": "[redacted]"}


@pytest.mark.parametrize(
    "name", ["models", "questions", "parameters", "regions", "delivery", "benchmark", "jobspec", "constraints"]
)
def test_a_field_that_an_import_can_not_have_is_refused_with_the_remedy(name):
    (error,) = errors_of(importing(**{name: ["x"]}))
    assert (error.pointer, error.code) == (f"/{name}", "misplaced_field")
    assert "take it out" in error.detail or "without this" in error.detail


def test_a_null_in_a_field_that_an_import_can_not_have_counts_as_absent():
    assert refusals(importing(models=None, policy={"delivery": None})) == []


@pytest.mark.parametrize(
    "name", ["delivery", "on_paused", "min_success_rate", "timeout_seconds", "queue_timeout_seconds"]
)
def test_a_policy_of_inference_is_refused_with_the_remedy(name):
    (error,) = errors_of(importing(policy={name: 1}))
    assert (error.pointer, error.code) == (f"/policy/{name}", "misplaced_field")
    assert "take it out" in error.detail


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("batch_size", "/policy/batch_size"),
        ("max_rejects", "/policy/max_rejects"),
        ("concurrency", "/policy/max_concurrent"),
        ("timeout", "/policy/count_timeout_seconds"),
        ("tables", "/record_types"),
    ],
)
def test_a_field_that_belongs_elsewhere_is_answered_with_where_it_belongs(name, home):
    (error,) = errors_of(importing(**{name: 1}))
    assert (error.pointer, error.code, error.extra["move_to"]) == (f"/{name}", "unknown_field", home)


@pytest.mark.parametrize(
    ("changes", "pointer", "nearest"),
    [
        ({"datset": "erp"}, "/datset", "dataset"),
        ({"policy": {"batchsize": 1}}, "/policy/batchsize", "batch_size"),
        ({"record_types": [file_type("a", keys=["id"])]}, "/record_types/0/keys", "key"),
        ({"record_types": [file_type("a", path="a.csv")]}, "/record_types/0/path", "path"),
        (
            {"record_types": [file_type("a", source={"type": "file", "path": "a.csv", "pathh": ""})]},
            "/record_types/0/source/pathh",
            "path",
        ),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_known_name(changes, pointer, nearest):
    (error,) = errors_of(importing(**changes))
    assert (error.pointer, error.code, error.extra["nearest"]) == (pointer, "unknown_field", nearest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 1),
        ("batch_size", 10_000),
        ("batches_per_wave", 1),
        ("batches_per_wave", 10_000),
        ("max_concurrent", 10_000),
        ("count_timeout_seconds", 0.5),
        ("count_timeout_seconds", 86_400),
        ("max_rejects", 0),
        ("max_rejects", 1_000_000),
        ("max_attempts", 100),
    ],
)
def test_a_policy_within_its_bounds_is_kept(name, value):
    assert read(importing(policy={name: value})).spec.to_json()["policy"][name] == value


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("batch_size", 0, "out_of_range"),
        ("batch_size", 10_001, "out_of_range"),
        ("batch_size", 500.0, "wrong_type"),
        ("batch_size", True, "wrong_type"),
        ("batch_size", None, "wrong_type"),
        ("batches_per_wave", 0, "out_of_range"),
        ("batches_per_wave", 10_001, "out_of_range"),
        ("max_concurrent", 0, "out_of_range"),
        ("max_concurrent", None, "wrong_type"),
        ("count_timeout_seconds", 0, "out_of_range"),
        ("count_timeout_seconds", 86_401, "out_of_range"),
        ("count_timeout_seconds", "300", "wrong_type"),
        ("max_rejects", -1, "out_of_range"),
        ("max_rejects", 1_000_001, "out_of_range"),
        ("max_attempts", 0, "out_of_range"),
        ("max_attempts", 101, "out_of_range"),
    ],
)
def test_a_policy_outside_its_bounds_is_refused(name, value, code):
    assert refusals(importing(policy={name: value})) == [(f"/policy/{name}", code)]


def test_the_bounds_of_a_policy_are_reported_in_plain_digits():
    (error,) = errors_of(importing(policy={"max_rejects": -1}))
    assert error.detail == "Give a number from 0 to 1000000."


def test_a_policy_must_be_an_object():
    assert refusals(importing(policy=[])) == [("/policy", "wrong_type")]


def test_whole_seconds_are_kept_as_integers():
    assert repr(read(importing(policy={"count_timeout_seconds": 30.0})).spec.policy.count_timeout_seconds) == "30"


def test_record_types_without_a_kind_are_answered_with_the_kind():
    body = importing()
    del body["kind"]
    (error,) = errors_of(body)
    assert (error.pointer, error.code) == ("/record_types", "misplaced_field")
    assert "send `kind` as `import`" in error.detail


def test_an_import_in_an_envelope_is_answered_with_where_it_belongs():
    (error,) = errors_of({"jobspec": importing()})
    assert (error.pointer, error.code, error.extra["move_to"]) == ("/jobspec", "misplaced_field", "")


def test_record_types_in_a_body_of_inference_are_unknown():
    assert refusals(plain(kind="inference", record_types=[])) == [("/record_types", "unknown_field")]


def test_values_that_can_not_be_stored_are_reported_first():
    assert refusals(importing(name="\0", bogus=1)) == [("/name", "invalid_character")]


def test_all_errors_are_reported_at_once():
    body = importing(
        file_type("a b"),
        file_type("b", "c"),
        1,
        id="?",
        name=1,
        policy={"batch_size": 0},
        on_duplicate="maybe",
        regions=["mars"],
        bogus=1,
    )
    assert {pointer for pointer, _ in refusals(body)} == {
        "/record_types/0/id",
        "/record_types/1/depends_on/0",
        "/record_types/2",
        "/id",
        "/name",
        "/policy/batch_size",
        "/on_duplicate",
        "/regions",
        "/bogus",
    }


def test_no_more_than_a_hundred_errors_are_reported():
    assert len(errors_of(importing(*[1] * 200))) == 100


def test_no_submitted_value_is_echoed():
    source = {"type": "sql", "connection": "erp", "table": "s3cret;", "password": "s3cret", "dsn": "s3cret"}
    body = importing(
        file_type("a", source=source),
        file_type("b", source={"type": "file", "path": "../s3cret"}),
        file_type("c", key=["s3cret", "s3cret"]),
        policy={"batch_size": 987654},
        name=["s3cret"],
        metadata=["s3cret"],
    )
    texts = [str(error.to_json()) for error in errors_of(body)]
    assert len(texts) == 8
    assert not [text for text in texts if "s3cret" in text or "987654" in text]


def test_files_are_read_only_where_an_import_root_is_configured():
    bare = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS, connections=REGISTRY.connections)
    assert refusals(importing(), bare) == [("/record_types/0/source", "import_root_missing")]
