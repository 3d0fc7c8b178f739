"""Whether an answer is whole, by its finish reason; and the policy for incomplete answers."""

import pytest

from domain.completeness import Ending, ending_of, is_whole
from domain.normalize import normalize
from domain.outcome import NO_REPLY, Completed, Failed, Reply, apply_incomplete_policy
from domain.registry import DEFAULT_QUESTIONS, DEFAULT_REGIONS, Registry
from domain.spec import Incomplete, JobSpec
from tests.domain.bodies import plain

REGISTRY = Registry(DEFAULT_REGIONS, DEFAULT_QUESTIONS)


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (
            ("stop", "STOP", "end_turn", "eos", "stop_sequence", "tool_calls", "Tool-Calls", "function_call"),
            Ending.WHOLE,
        ),
        (("length", "MAX_TOKENS", "max tokens", "model_length", "pause_turn", "FinishReason"), Ending.CUT),
        (("content_filter", "SAFETY", "RECITATION", "content_filter: SPII", "guardrail_intervened"), Ending.FILTERED),
        (("endTurn", "FINISH_REASON_STOP", "FinishReason.STOP", "FINISH", "STOP_CRITERIA_MET"), Ending.WHOLE),
        (("MaxTokens", "maxTokens", "FinishReason.MAX_TOKENS", "maximum_tokens"), Ending.CUT),
        (("ContentFilter", "contentFiltered", "FINISH_REASON_SAFETY"), Ending.FILTERED),
        (("refusal",), Ending.REFUSED),
        (("error", "ERROR", "abort", "insufficient_system_resource"), Ending.BROKEN),
        (("", "banana", "OTHER", "stopped by the moon", "FINISH_REASON_UNSPECIFIED"), None),
    ],
)
def test_a_word_means_the_same_however_it_is_written(words, ending):
    for word in words:
        assert ending_of(word) is (None if word == "FinishReason" else ending), word


def test_without_a_finish_reason_completeness_is_unknown():
    assert ending_of(None) is None
    assert is_whole(None) is None


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.FILTERED, Ending.REFUSED])
def test_the_policy_decides_how_an_incomplete_answer_counts(ending):
    outcome = Completed("It", region_served="us-east", provider_used="gpu", reply=Reply("word", ending))
    assert apply_incomplete_policy(outcome, Incomplete.KEEP) is outcome
    failed, retried = (
        apply_incomplete_policy(outcome, Incomplete.FAIL),
        apply_incomplete_policy(outcome, Incomplete.RETRY),
    )
    assert isinstance(failed, Failed)
    assert isinstance(retried, Failed)
    assert (failed.code, failed.retryable, retried.retryable) == ("incomplete_answer", False, True)
    assert (failed.region_served, failed.provider_used, failed.reply) == ("us-east", "gpu", outcome.reply)
    assert f"{ending} (finish_reason: word)" in failed.detail


@pytest.mark.parametrize("reply", [NO_REPLY, Reply("stop", Ending.WHOLE), Reply("banana")])
@pytest.mark.parametrize("incomplete", Incomplete)
def test_an_answer_that_may_be_whole_is_kept_by_every_policy(reply, incomplete):
    outcome = Completed("It is 4.", reply=reply)
    assert apply_incomplete_policy(outcome, incomplete) is outcome


def test_a_failure_stays_unchanged():
    outcome = Failed("bad_answer", "No text.", retryable=False, reply=Reply("length", Ending.CUT))
    assert apply_incomplete_policy(outcome, Incomplete.RETRY) is outcome


def test_the_default_is_in_no_spec_and_no_hash():
    silent, stated = (normalize(plain(policy=policy), REGISTRY) for policy in ({}, {"incomplete": "keep"}))
    assert silent == stated
    assert "incomplete" not in silent.spec.to_json()["policy"]
    assert JobSpec.from_json(silent.spec.to_json()).policy.incomplete is Incomplete.KEEP


@pytest.mark.parametrize("incomplete", ["fail", "retry"])
def test_a_changed_request_makes_another_spec(incomplete):
    silent, stated = (normalize(plain(policy=policy), REGISTRY) for policy in ({}, {"incomplete": incomplete}))
    assert stated.spec_hash != silent.spec_hash
    assert stated.spec.to_json()["policy"]["incomplete"] == incomplete
    assert JobSpec.from_json(stated.spec.to_json()) == stated.spec


def test_several_answers_a_call_are_noted():
    def notes(**parameters):
        return [note.to_json() for note in normalize(plain(parameters=parameters), REGISTRY).notes]

    [note] = [note for note in notes(n=3) if note["path"] == "/parameters/n"]
    assert note["action"] == "partly_shown"
    assert "3 answers" in note["detail"]
    for n in (1, 0, True, None, "3"):
        assert notes(n=n) == notes()
