"""The reference of states has every state, its transitions, and the terminal ones, as in the code."""

import pytest

from domain import status
from tests.support.documentation import names_in, table

PAGE = "docs/reference/states.md"


@pytest.mark.parametrize(
    ("noun", "transitions", "states"),
    [
        ("a job", status.JOB_TRANSITIONS, status.JobStatus),
        ("an execution", status.EXECUTION_TRANSITIONS, status.ExecutionStatus),
        ("a wave", status.WAVE_TRANSITIONS, status.WaveStatus),
        ("a batch", status.BATCH_TRANSITIONS, status.BatchStatus),
    ],
)
def test_the_reference_has_every_state_and_its_transitions(
    noun: str, transitions: frozenset[tuple[str, str]], states: type[status.JobStatus]
) -> None:
    rows = table(PAGE, f"state of {noun}", "means", "may become")
    assert [names_in(state) for state, *_ in rows] == [[state.value] for state in states]
    listed = {(names_in(state)[0], after) for state, _, become, *_ in rows for after in names_in(become)}
    assert listed == transitions


@pytest.mark.parametrize(
    ("noun", "terminal"),
    [("a job", status.TERMINAL_JOB_STATUSES), ("an execution", status.TERMINAL_EXECUTION_STATUSES)],
)
def test_the_reference_says_which_states_are_terminal(noun: str, terminal: frozenset[str]) -> None:
    rows = table(PAGE, f"state of {noun}", "means", "may become", "terminal")
    assert {names_in(state)[0] for state, _, _, is_terminal in rows if is_terminal == "yes"} == terminal
