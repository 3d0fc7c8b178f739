"""Levels and cycles of a graph of record types, and how batches become waves."""

import time
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.import_spec import RecordType
from domain.sources.file import FileSource
from domain.waves import NumberedBatch, PlannedWave, Share, find_cycles, level_by_id, number_batches, plan_waves

LEDGER = {"customer": [], "transaction": ["customer"], "transactionline": ["transaction"]}


def record_types(depends_on) -> tuple[RecordType, ...]:
    source = FileSource("rows.csv")
    return tuple(RecordType(name, ("id",), source, tuple(below)) for name, below in depends_on.items())


def planned(depends_on, counts, size: int) -> tuple[PlannedWave, ...]:
    return plan_waves(record_types(depends_on), counts, batches_per_wave=size)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw graphs without a cycle, their nodes in any order."""
    names = draw(st.permutations([f"t{number}" for number in range(draw(st.integers(0, 12)))]))
    below = {
        name: draw(st.sets(st.sampled_from(names[:number]))) if number else () for number, name in enumerate(names)
    }
    return {name: sorted(below[name]) for name in draw(st.permutations(names))}


@st.composite
def tangles(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw graphs of any kind, self-dependencies left out."""
    names = [f"t{number}" for number in range(draw(st.integers(1, 8)))]
    return {name: [other for other in draw(st.sets(st.sampled_from(names))) if other != name] for name in names}


@st.composite
def plans(draw: st.DrawFn):
    """Draw a graph, how many batches each record type has, and how many a wave may hold."""
    graph = draw(graphs())
    return graph, {name: draw(st.integers(0, 40)) for name in graph}, draw(st.integers(1, 25))


def test_a_record_type_without_dependencies_has_level_0():
    assert level_by_id(LEDGER) == {"customer": 0, "transaction": 1, "transactionline": 2}


def test_a_level_is_one_more_than_the_highest_below():
    graph = {"d": ["a", "c"], "c": ["b"], "b": ["a"], "a": [], "e": []}
    assert level_by_id(graph) == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 0}


def test_there_are_no_levels_without_record_types():
    assert (level_by_id({}), plan_waves((), {}, batches_per_wave=300)) == ({}, ())


@given(graphs())
def test_levels_respect_every_dependency(graph):
    levels = level_by_id(graph)
    assert levels.keys() == graph.keys()
    for name, below in graph.items():
        assert levels[name] == max((levels[other] + 1 for other in below), default=0)


@given(graphs())
def test_a_graph_with_levels_has_no_cycle(graph):
    assert find_cycles(graph, limit=5) == []


def test_a_cycle_is_reported_node_by_node_as_each_depends_on_the_next():
    assert find_cycles({"x": [], "a": ["b", "x"], "b": ["c"], "c": ["a"]}, limit=5) == [["a", "b", "c", "a"]]


def test_a_cycle_begins_with_the_node_that_is_named_first():
    assert find_cycles({"c": ["a"], "a": ["b"], "b": ["c"]}, limit=5) == [["c", "a", "b", "c"]]


def test_cycles_apart_from_each_other_are_all_reported_up_to_the_limit():
    graph = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"], "e": ["f"], "f": ["e"]}
    assert find_cycles(graph, limit=2) == [["a", "b", "a"], ["c", "d", "c"]]


def test_a_dependency_on_something_unnamed_is_no_cycle():
    assert find_cycles({"a": ["nobody"]}, limit=5) == []


@given(tangles())
def test_every_cycle_that_is_reported_is_one(graph):
    cycles = find_cycles(graph, limit=10)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(below in graph[name] for name, below in pairwise(cycle))
    nodes = [name for cycle in cycles for name in cycle[1:]]
    assert len(set(nodes)) == len(nodes)
    left = {
        name: [other for other in below if other not in nodes] for name, below in graph.items() if name not in nodes
    }
    assert level_by_id(left).keys() == left.keys()


def test_batches_are_cut_into_waves_level_by_level():
    assert planned(LEDGER, {"customer": 2, "transaction": 5, "transactionline": 3}, 4) == (
        PlannedWave(1, 0, (Share("customer", 1, 0, 1),)),
        PlannedWave(2, 1, (Share("transaction", 3, 0, 3),)),
        PlannedWave(3, 1, (Share("transaction", 7, 4, 4),)),
        PlannedWave(4, 2, (Share("transactionline", 8, 0, 2),)),
    )


def test_record_types_of_one_level_share_waves_in_their_order():
    assert planned({"b": [], "a": []}, {"a": 3, "b": 5}, 6) == (
        PlannedWave(1, 0, (Share("b", 1, 0, 4), Share("a", 6, 0, 0))),
        PlannedWave(2, 0, (Share("a", 7, 1, 2),)),
    )


def test_a_level_without_rows_has_no_wave():
    counts = {"customer": 1, "transaction": 0, "transactionline": 1}
    assert [(wave.wave_no, wave.level) for wave in planned(LEDGER, counts, 300)] == [(1, 0), (2, 2)]


def test_nine_thousand_batches_make_thirty_three_waves():
    waves = planned({"transactionline": []}, {"transactionline": 9_625}, 300)
    assert [wave.batches for wave in waves] == [300] * 32 + [25]


def test_batches_are_numbered_through_all_waves():
    waves = planned(LEDGER, {"customer": 1, "transaction": 2, "transactionline": 0}, 1)
    assert list(number_batches(waves)) == [
        NumberedBatch(1, 1, "customer", 0),
        NumberedBatch(2, 2, "transaction", 0),
        NumberedBatch(3, 3, "transaction", 1),
    ]


@given(plans())
def test_waves_are_contiguous_within_bounds_and_rise_with_their_level(plan):
    waves = planned(*plan)
    assert [wave.wave_no for wave in waves] == list(range(1, len(waves) + 1))
    assert all(1 <= wave.batches <= plan[2] for wave in waves)
    assert all(below.level <= above.level for below, above in pairwise(waves))


@given(plans())
def test_only_the_last_wave_of_a_level_has_room_left(plan):
    for _, waves in groupby(planned(*plan), key=lambda wave: wave.level):
        assert all(wave.batches == plan[2] for wave in list(waves)[:-1])


@given(plans())
def test_a_wave_never_spans_two_levels(plan):
    levels = level_by_id(plan[0])
    for wave in planned(*plan):
        assert {levels[share.record_type] for share in wave.shares} == {wave.level}


@given(plans())
def test_every_range_is_in_exactly_one_batch(plan):
    _, counts, _ = plan
    batches = list(number_batches(planned(*plan)))
    assert [batch.batch_no for batch in batches] == list(range(1, sum(counts.values()) + 1))
    held = sorted((batch.record_type, batch.range_no) for batch in batches)
    assert held == sorted((name, number) for name, count in counts.items() for number in range(count))


@given(plans())
def test_dependencies_end_before_the_first_batch_of_a_higher_level(plan):
    graph, *_ = plan
    waves: dict[str, list[int]] = {}
    for batch in number_batches(planned(*plan)):
        waves.setdefault(batch.record_type, []).append(batch.wave_no)
    for name, below in graph.items():
        for other in below:
            assert max(waves.get(other, [0])) < min(waves.get(name, [10**9]))


@given(plans())
def test_the_same_counts_give_the_same_waves(plan):
    assert planned(*plan) == planned(*plan)


@pytest.mark.parametrize("size", [1, 300])
def test_ten_thousand_batches_are_planned_at_once(size):
    graph = {f"t{number}": [f"t{number - 1}"] if number else [] for number in range(200)}
    began = time.process_time()
    assert len(list(number_batches(planned(graph, dict.fromkeys(graph, 50), size)))) == 10_000
    assert time.process_time() - began < 1  # it takes about 0.05 s
