"""The faults of Redis, in the words that people see."""

import pytest
from redis._parsers import _RESP2Parser
from redis.exceptions import ConnectionError as NotConnected

from broker import health
from broker.health import State


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", State.REFUSES_WRITES, "full"),
        ("READONLY You can't write against a read only replica.", State.REFUSES_WRITES, "read_only"),
        ("MASTERDOWN Link with MASTER is down.", State.REFUSES_WRITES, "read_only"),
        ("MISCONF Errors writing to the AOF file: No space left on device", State.REFUSES_WRITES, "disk"),
        ("NOREPLICAS Not enough good replicas to write.", State.REFUSES_WRITES, "replicas"),
        ("MOVED 866 10.0.0.2:6379", State.REFUSES_WRITES, "cluster"),
        ("ASK 866 10.0.0.2:6379", State.REFUSES_WRITES, "cluster"),
        ("CLUSTERDOWN Hash slot not served", State.REFUSES_WRITES, "cluster"),
        ("NOPERM User a has no permissions to run the 'xadd' command", State.REFUSES_WRITES, "forbidden"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", State.REFUSES_WRITES, "wrong_type"),
        ("ERR unknown command 'XADD'", State.REFUSES_WRITES, "refused"),
        ("LOADING Redis is loading the dataset in memory", State.UNAVAILABLE, "loading"),
        ("BUSY Redis is busy running a script.", State.UNAVAILABLE, "busy"),
        ("NOAUTH Authentication required.", State.UNAVAILABLE, "unauthenticated"),
        ("WRONGPASS invalid username-password pair", State.UNAVAILABLE, "unauthenticated"),
        ("ERR max number of clients reached", State.UNAVAILABLE, "unavailable"),
    ],
)
def test_each_answer_has_a_state_a_code_and_a_sentence(answer: str, state: State, code: str) -> None:
    found = health.describe(_RESP2Parser.parse_error(answer))
    assert (found.state, found.code) == (state, code)
    assert found.detail.endswith(".")
    assert "10.0.0.2" not in found.detail


def test_a_server_that_is_not_there_is_distinguished_from_one_that_refuses() -> None:
    assert health.describe(NotConnected("Error 111 connecting to 10.0.0.2:6379.")).state is State.UNAVAILABLE
    assert health.describe(TimeoutError()).code == "timeout"
