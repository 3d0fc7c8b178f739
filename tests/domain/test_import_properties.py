"""Properties of every import, with generated examples."""

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.batch_counts import MAX_BATCH_SIZE, MAX_BATCHES, least_batch_size
from domain.errors import SpecRejected
from domain.import_spec import ImportSpec
from domain.table_names import TableName
from domain.waves import level_by_id
from tests.domain.bodies import TABLES, again, errors_of, importing, read, refusals

FIELD_NAMES = [
    *("id", "kind", "name", "dataset", "record_types", "policy", "on_duplicate", "metadata", "key", "source", "type"),
    *("depends_on", "path", "connection", "table", "query", "models", "jobspec", "delivery", "batch_size", "password"),
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
words = st.sampled_from(
    ["import", "file", "sql", "suiteql", "erp", "netsuite", "transaction", "../a", "a.csv", "a", ""]
)
json_values = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
names = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).filter(
    str.strip
)
file_names = st.text(alphabet="abÄ ._-1", min_size=1, max_size=8).filter(lambda name: name.strip(". "))
sources = st.one_of(
    st.builds(lambda parts: {"type": "file", "path": "/".join(parts)}, st.lists(file_names, min_size=1, max_size=3)),
    st.builds(
        lambda table: {"type": "sql", "connection": "erp", "table": table},
        st.sampled_from([name for table in sorted(TABLES) for name in (str(table), str(TableName(None, table.table)))]),
    ),
    st.builds(
        lambda query: {"type": "suiteql", "connection": "netsuite", "query": query},
        st.sampled_from(["transaction", "transactionline"]),
    ),
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": st.integers(1, 10_000),
        "batches_per_wave": st.integers(1, 10_000),
        "count_timeout_seconds": st.floats(0.01, 999) | st.integers(1, 999),
        "max_rejects": st.integers(0, 1_000_000),
    },
)


@st.composite
def imports(draw: st.DrawFn) -> dict[str, object]:
    """Draw right imports over random graphs without a cycle, duplicates and repeated dependencies included."""
    ids = draw(st.permutations([f"t{number}" for number in range(draw(st.integers(1, 8)))]))
    record_types = []
    for number, type_id in enumerate(ids):
        below = draw(st.lists(st.sampled_from(ids[:number]), max_size=5)) if number else []
        key = draw(st.lists(names, min_size=1, max_size=3, unique=True))
        record_types.append({"id": type_id, "key": key, "source": draw(sources), "depends_on": below})
    record_types += draw(st.lists(st.sampled_from(record_types), max_size=2))
    body = importing(*draw(st.permutations(record_types)), name=draw(names), policy=draw(policies))
    return body | draw(st.fixed_dictionaries({}, optional={"dataset": names, "id": st.just("mine")}))


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw graphs of any kind: cycles, self-dependencies and ids that nothing has."""
    ids = [f"t{number}" for number in range(draw(st.integers(1, 7)))]
    return {name: draw(st.lists(st.sampled_from([*ids, "nobody"]), max_size=4)) for name in ids}


def importing_graph(graph: dict[str, list[str]]) -> dict[str, object]:
    source = {"type": "file", "path": "a.csv"}
    return importing(
        *[{"id": name, "key": ["id"], "source": source, "depends_on": below} for name, below in graph.items()]
    )


def reaches(graph: dict[str, list[str]], start: str, goal: str) -> bool:
    seen, ahead = set(), [start]
    while ahead:
        for below in graph.get(ahead.pop(), []):
            if below == goal:
                return True
            if below not in seen:
                seen.add(below)
                ahead.append(below)
    return False


@given(st.dictionaries(st.sampled_from(FIELD_NAMES), json_values, max_size=8))
@settings(max_examples=300)
def test_any_import_is_taken_or_refused(body):
    assert json.dumps([error.to_json() for error in errors_of({**body, "kind": "import"})], ensure_ascii=False).encode()


@given(imports(), st.sampled_from(["record_types", "policy", "metadata", "dataset", "on_duplicate"]), json_values)
@settings(max_examples=200)
def test_a_right_import_with_one_part_at_random_is_taken_or_refused(body, name, value):
    errors_of({**body, name: value})


@given(imports(), st.sampled_from(["id", "key", "source", "depends_on"]), json_values)
@settings(max_examples=200)
def test_a_right_import_with_one_member_of_a_record_type_at_random_is_taken_or_refused(body, name, value):
    errors_of({**body, "record_types": [*body["record_types"][1:], {**body["record_types"][0], name: value}]})


@given(imports())
def test_a_right_import_is_taken(body):
    assert refusals(body) == []


@given(imports())
def test_every_record_type_is_planned_once_on_a_level_above_its_dependencies(body):
    reading = read(body)
    spec = reading.spec
    levels = level_by_id({record_type.id: record_type.depends_on for record_type in spec.record_types})
    assert {record_type.id for record_type in spec.record_types} == {
        record_type["id"] for record_type in body["record_types"]
    }
    assert reading.planned.record_types == len(spec.record_types) == len(levels)
    assert sorted(set(levels.values())) == list(range(reading.planned.levels))
    for submitted in body["record_types"]:
        assert all(levels[below] < levels[submitted["id"]] for below in submitted["depends_on"])


@given(imports())
def test_normalizing_twice_changes_nothing(body):
    first, second = read(body), again(read(body).spec)
    assert (second.spec, second.spec_hash, second.notes) == (first.spec, first.spec_hash, ())


@given(imports())
def test_a_stored_import_comes_back_as_it_was(body):
    spec = read(body).spec
    assert ImportSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(imports())
def test_reading_leaves_the_body_as_it_is(body):
    before = copy.deepcopy(body)
    read(body)
    assert body == before


@given(imports(), st.randoms(use_true_random=False))
def test_equivalent_spellings_have_one_hash(body, random):
    respelled = copy.deepcopy(body)
    for record_type in respelled["record_types"]:
        random.shuffle(record_type["depends_on"])
        record_type["depends_on"] += record_type["depends_on"][:1]
    random.shuffle(respelled["record_types"])
    respelled["record_types"].append(random.choice(respelled["record_types"]))
    respelled["name"] = f" {body['name']} "
    respelled["metadata"] = {"at": random.random()}
    respelled.setdefault("dataset", body["name"])
    respelled["policy"] = {**read(body).spec.policy.to_json(), **body["policy"]}
    assert read(respelled).spec_hash == read(body).spec_hash


@given(imports(), st.sampled_from(["key", "source"]))
def test_another_key_or_source_gives_another_hash(body, name):
    other = copy.deepcopy(body)
    changed = {"key": ["another key of it"], "source": {"type": "file", "path": "another/file.csv"}}[name]
    for record_type in other["record_types"]:
        if record_type["id"] == "t0":
            record_type[name] = changed
    assert read(other).spec_hash != read(body).spec_hash


@given(graphs())
def test_a_graph_is_taken_exactly_if_it_is_closed_and_has_no_cycle(graph):
    is_closed = all(below in graph for names in graph.values() for below in names)
    has_cycle = any(reaches(graph, name, name) for name in graph)
    assert (errors_of(importing_graph(graph)) == []) == (is_closed and not has_cycle)


@given(graphs())
def test_every_wrong_dependency_is_reported_where_it_stands(graph):
    wrong = {
        (f"/record_types/{index}/depends_on/{number}", "self_dependency" if below == name else "unknown_dependency")
        for index, (name, all_below) in enumerate(graph.items())
        for number, below in enumerate(all_below)
        if below in {name, "nobody"}
    }
    assert {refusal for refusal in refusals(importing_graph(graph)) if refusal[1] != "dependency_cycle"} == wrong


@given(st.dictionaries(st.sampled_from(["type", "path", "connection", "table", "query", "password"]), words))
@settings(max_examples=400)
def test_no_source_at_random_is_taken_unless_all_its_names_are_known(source):
    try:
        reading = read(importing({"id": "a", "key": ["id"], "source": source}))
    except SpecRejected:
        return
    assert isinstance(reading.spec, ImportSpec)
    stated = reading.spec.to_json()["record_types"][0]["source"]
    assert {name: value for name, value in source.items() if value is not None} == stated


@given(st.lists(st.integers(0, 2 * MAX_BATCHES * MAX_BATCH_SIZE), min_size=1, max_size=200))
def test_a_batch_size_that_is_named_as_enough_is(rows_by_type):
    enough = least_batch_size(sum(rows_by_type), len(rows_by_type))
    if enough is None:
        assert sum(rows_by_type) > (MAX_BATCHES - 2 * len(rows_by_type)) * MAX_BATCH_SIZE
    else:
        assert 1 <= enough <= MAX_BATCH_SIZE
        assert sum(-(-rows // enough) + 1 for rows in rows_by_type) <= MAX_BATCHES
