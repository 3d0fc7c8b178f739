"""Record types: their ids, keys, dependencies, duplicates and cycles."""

import time

import pytest

from tests.domain.bodies import again, errors_of, file_type, importing, notes_of, read, refusals


def types_of(*record_types):
    return [record_type.id for record_type in read(importing(*record_types)).spec.record_types]


@pytest.mark.parametrize("record_types", [None, []])
def test_record_types_must_be_named(record_types):
    assert refusals(importing(record_types=record_types)) == [("/record_types", "record_types_missing")]


@pytest.mark.parametrize("record_types", ["customer", {}, 1, True])
def test_record_types_must_be_a_list(record_types):
    assert refusals(importing(record_types=record_types)) == [("/record_types", "wrong_type")]


def test_no_more_than_two_hundred_record_types_are_taken():
    assert refusals(importing(*[1] * 201)) == [("/record_types", "too_many")]
    assert len(types_of(*[file_type(f"t{number}") for number in range(200)])) == 200


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"id": None}, "/id", "empty"),
        ({"id": 1}, "/id", "wrong_type"),
        ({"id": "a b"}, "/id", "invalid_id"),
        ({"id": ""}, "/id", "invalid_id"),
        ({"key": None}, "/key", "key_missing"),
        ({"key": []}, "/key", "key_missing"),
        ({"key": "id"}, "/key", "wrong_type"),
        ({"key": [1]}, "/key/0", "wrong_type"),
        ({"key": [" "]}, "/key/0", "empty"),
        ({"key": ["x" * 201]}, "/key/0", "too_long"),
        ({"key": ["a\nb"]}, "/key/0", "invalid_character"),
        ({"key": ["id", "line", "id"]}, "/key/2", "duplicate_column"),
        ({"key": [f"c{number}" for number in range(17)]}, "/key", "too_many"),
        ({"source": None}, "/source", "source_missing"),
        ({"depends_on": "a"}, "/depends_on", "wrong_type"),
        ({"depends_on": [1]}, "/depends_on/0", "wrong_type"),
        ({"depends_on": [None]}, "/depends_on/0", "wrong_type"),
        ({"depends_on": ["a"] * 201}, "/depends_on", "too_many"),
    ],
)
def test_a_wrong_record_type_is_refused(change, pointer, code):
    assert refusals(importing(file_type("customer", **change))) == [(f"/record_types/0{pointer}", code)]


@pytest.mark.parametrize("value", [1, None, "customer", [], True])
def test_a_record_type_must_be_an_object(value):
    assert refusals(importing(value)) == [("/record_types/0", "wrong_type")]


def test_columns_are_kept_as_the_source_spells_them():
    key = [" Kunde", "e\u0301tat", "Order No.", '"x"']
    assert read(importing(file_type("a", key=key))).spec.record_types[0].key == tuple(key)


def test_the_order_of_key_columns_is_kept():
    key = [f"c{number}" for number in range(16)][::-1]
    assert read(importing(file_type("a", key=key))).spec.record_types[0].key == tuple(key)


def test_the_first_column_of_a_name_is_reported_with_the_second():
    (error,) = errors_of(importing(file_type("a", key=["id", "id"])))
    assert error.extra["conflicts_with"] == "/record_types/0/key/0"


def test_dependencies_may_be_named_before_and_after():
    assert types_of(file_type("b", "a", "c"), file_type("a"), file_type("c")) == ["b", "a", "c"]


def test_a_dependency_that_is_named_twice_is_dropped():
    body = importing(file_type("a"), file_type("b"), file_type("c", "b", "a", "b"))
    assert read(body).spec.record_types[2].depends_on == ("b", "a")
    assert notes_of(body, "dropped_duplicate") == [
        {
            "path": "/record_types/2/depends_on/2",
            "action": "dropped_duplicate",
            "value": "b",
            "kept": "/record_types/2/depends_on/0",
        }
    ]
    assert again(read(body).spec).notes == ()


def test_an_unknown_dependency_is_refused_with_the_nearest_id():
    (error,) = errors_of(importing(file_type("customer"), file_type("line", "custmer")))
    assert (error.pointer, error.code, error.extra["nearest"]) == (
        "/record_types/1/depends_on/0",
        "unknown_dependency",
        "customer",
    )
    assert "`customer`" in error.detail


def test_an_unknown_dependency_that_is_like_nothing_is_refused_without_a_guess():
    (error,) = errors_of(importing(file_type("customer"), file_type("line", "zzz")))
    assert (error.code, "nearest" in error.extra) == ("unknown_dependency", False)
    assert "take it out" in error.detail


def test_a_dependency_on_a_refused_record_type_is_no_second_error():
    body = importing(file_type("customer", key=[]), file_type("line", "customer"))
    assert refusals(body) == [("/record_types/0/key", "key_missing")]


def test_a_record_type_can_not_depend_on_itself():
    body = importing(file_type("a"), file_type("b", "a", "b"))
    assert refusals(body) == [("/record_types/1/depends_on/1", "self_dependency")]


def test_a_cycle_is_named_node_by_node():
    body = importing(file_type("x"), file_type("line", "transaction"), file_type("customer", "line"))
    body["record_types"].append(file_type("transaction", "x", "customer"))
    (error,) = errors_of(body)
    assert (error.pointer, error.code) == ("/record_types/1/depends_on", "dependency_cycle")
    assert error.extra["cycle"] == ["line", "transaction", "customer", "line"]
    assert "line → transaction → customer → line" in error.detail


def test_cycles_apart_from_each_other_are_reported_at_once():
    body = importing(file_type("a", "b"), file_type("b", "a"), file_type("c", "d"), file_type("d", "c"))
    assert [error.extra["cycle"] for error in errors_of(body)] == [["a", "b", "a"], ["c", "d", "c"]]


def test_a_cycle_through_a_record_type_that_is_refused_is_reported_as_well():
    body = importing(file_type("a", "b"), file_type("b", "a", key=[]))
    assert refusals(body) == [
        ("/record_types/1/key", "key_missing"),
        ("/record_types/0/depends_on", "dependency_cycle"),
    ]


def test_a_long_cycle_is_shortened_in_words_only():
    count = 200
    body = importing(*[file_type(f"t{number}", f"t{(number + 1) % count}") for number in range(count)])
    (error,) = errors_of(body)
    assert len(error.extra["cycle"]) == count + 1
    assert len(error.detail) < 400
    assert "t18 → … → t0" in error.detail


def test_an_identical_record_type_is_dropped():
    repeated = file_type("c", "b", "a")
    body = importing(file_type("a"), file_type("b"), file_type("c", "a", "b"), repeated)
    assert types_of(*body["record_types"]) == ["a", "b", "c"]
    assert notes_of(body, "dropped_duplicate") == [
        {"path": "/record_types/3", "action": "dropped_duplicate", "value": "c", "kept": "/record_types/2"}
    ]


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"key": ["line"]}, ["key"]),
        ({"source": {"type": "file", "path": "b.csv"}}, ["source"]),
        ({"depends_on": ["b"]}, ["depends_on"]),
        ({"key": ["b", "a"], "depends_on": ["b"]}, ["key", "depends_on"]),
    ],
)
def test_a_record_type_given_again_with_a_difference_is_refused(change, differing):
    body = importing(file_type("a"), file_type("b"), {**file_type("a"), **change})
    (error,) = errors_of(body)
    assert (error.pointer, error.code) == ("/record_types/2", "conflicting_record_type")
    assert (error.extra["differing"], error.extra["conflicts_with"]) == (differing, "/record_types/0")


def test_a_duplicate_whose_key_is_refused_is_no_second_error():
    body = importing(file_type("a"), file_type("a", key=["id", "line", "line"]))
    assert refusals(body) == [("/record_types/1/key/2", "duplicate_column")]


def test_record_types_of_one_source_are_taken():
    source = {"type": "file", "path": "all.csv"}
    assert types_of(file_type("a", source=source), file_type("b", source=source)) == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        importing(
            *[file_type(f"t{n:03}" + "xy" * 48, *["xy" * 48 + f"{m:03}" for m in range(200)]) for n in range(200)]
        ),
        importing(*[file_type(f"t{n}", *[f"t{m}" for m in range(200) if m != n]) for n in range(200)]),
        importing(*[file_type(f"t{n}", *[f"t{m}" for m in range(n)]) for n in range(200)]),
    ],
    ids=["unknown", "tangled", "dense"],
)
def test_the_largest_graphs_are_read_in_a_moment(body):
    began = time.process_time()
    errors_of(body)
    assert time.process_time() - began < 2  # the slowest takes about 0.3 s
