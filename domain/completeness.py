"""Whether an answer is whole, cut or filtered, by the finish reason that its provider gives.

The words are those of OpenAI's chat completions and of the servers and gateways that answer in that form with their
own: Anthropic, Bedrock, Cohere, DeepSeek, Gemini, Mistral, text-generation-inference, vLLM, Zhipu. They are compared in
lower case, with `_` between words, and without the name of their enumeration.
"""

import re
from enum import StrEnum


class Ending(StrEnum):
    """How an answer ended; `refused` only where the provider says so, since a refusal in plain words is an answer."""

    WHOLE = "whole"
    CUT = "cut"
    FILTERED = "filtered"
    REFUSED = "refused"
    BROKEN = "broken"  # the provider failed while it answered


_WHOLE = (
    "stop stop_sequence stop_word stop_token stop_str eos eos_token eos_token_id end_of_text endoftext end_turn"
    " end_of_turn complete completed finish finished stop_criteria_met tool_call tool_calls tool_use function_call"
    " function_calls"
)
_CUT = (
    "length max_tokens maximum_tokens max_token max_length max_output_tokens max_completion_tokens model_length limit"
    " token_limit context_length context_length_exceeded context_window_exceeded model_context_window_exceeded"
    " incomplete pause_turn interrupt malformed_function_call unexpected_tool_call cancelled canceled user_cancel"
    " time_limit"
)
_FILTERED = (
    "content_filter content_filtered content_filter_error safety recitation blocklist prohibited_content spii"
    " image_safety language guardrail_intervened guardrail sensitive moderation flagged blocked error_toxic"
)
_REFUSED = "refusal refused refuse"
_BROKEN = "error abort aborted internal_error network_error insufficient_system_resource error_limit timeout"
_ENDING_BY_WORD = {
    word: ending
    for words, ending in (
        (_WHOLE, Ending.WHOLE),
        (_CUT, Ending.CUT),
        (_FILTERED, Ending.FILTERED),
        (_REFUSED, Ending.REFUSED),
        (_BROKEN, Ending.BROKEN),
    )
    for word in words.split()
}


def ending_of(finish_reason: str | None) -> Ending | None:
    """Return the ending that a provider's finish reason means; None if it gives none, or an unknown one."""
    if finish_reason is None:
        return None
    word, _, _ = finish_reason.partition(":")  # the rest names the filter
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word)
    plain = re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
    return _ENDING_BY_WORD.get(plain.removeprefix("finish_reason_"))


def is_whole(ending: Ending | None) -> bool | None:
    """Return `is_complete` for an ending; None if it is unknown."""
    return None if ending is None else ending is Ending.WHOLE
