"""The JSON of answers: cut or broken, and what is kept of it."""

import orjson
import pytest

from worker.providers.documents import MAX_NESTING, RESPONSE_BYTES, EndedEarly, kept_response, parse
from worker.providers.keys import Keys
from worker.providers.streams import is_stream, read_stream

WHOLE = '{"a": [1.5, -2e3, true, null, "\\u00e4 ä \\"q\\"", {"b": false}]}'.encode()


def test_json_that_stops_anywhere_has_ended_early():
    for length in range(len(WHOLE)):
        with pytest.raises(EndedEarly):
            parse(WHOLE[:length])
    assert parse(WHOLE)["a"][0] == 1.5


@pytest.mark.parametrize("text", [b"<html>", b'{"a" 1}', b"{'a': 1}", b"OK", b"{} {}", b'{"a": tru, "b": 1}', b"\xff{"])
def test_a_text_that_is_no_json_has_not_ended_early(text):
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert not isinstance(caught.value, EndedEarly)


def test_all_of_an_answer_is_kept_as_it_is():
    assert orjson.loads(kept_response(parse(WHOLE), WHOLE, Keys()).json) == parse(WHOLE)
    assert kept_response(parse(WHOLE), WHOLE, Keys()).size == len(WHOLE)


def test_characters_that_the_database_cant_hold_are_replaced():
    document = parse(b'{"a\\u0000": "4 \\ud83d", "n": NaN, "big": 123456789012345678901234567890}')
    assert orjson.loads(kept_response(document, b"", Keys()).json) == {
        "a\ufffd": "4 \ufffd",
        "n": None,
        "big": "123456789012345678901234567890",
    }


@pytest.mark.parametrize("key", ["1234", 'sk-"quoted"\\', "true", "sk-plain"])
def test_a_key_is_replaced_in_texts_and_names_and_breaks_no_json(key):
    document = {"n": 1234, "ok": True, key: [f"a {key} b"], "deep": {"x": key}}
    found = orjson.loads(kept_response(document, b"", Keys.of(key)).json)
    assert found == {"n": 1234, "ok": True, "[redacted]": ["a [redacted] b"], "deep": {"x": "[redacted]"}}


def test_of_a_large_answer_the_beginning_is_kept():
    document = {"text": "ä" * RESPONSE_BYTES}
    body = orjson.dumps(document)
    found = orjson.loads(kept_response(document, body, Keys()).json)
    assert (found["truncated"], found["bytes"]) == (True, len(body))
    assert len(found["text"].encode()) in (RESPONSE_BYTES, RESPONSE_BYTES - 1)
    assert body.decode().startswith(found["text"])


def test_a_deep_answer_is_kept_as_text_without_the_key():
    body = b"[" * (MAX_NESTING + 1) + b'"sk-plain"' + b"]" * (MAX_NESTING + 1)
    found = orjson.loads(kept_response(parse(body), body, Keys.of("sk-plain")).json)
    assert found == {"truncated": True, "bytes": len(body), "text": body.decode().replace("sk-plain", "[redacted]")}
    assert orjson.loads(kept_response(parse(body[1:-1]), body, Keys()).json) == parse(body[1:-1])


@pytest.mark.parametrize("text", [b"{}", b"[]", b'"data: x"', b" 1", b"<html>"])
def test_no_json_is_taken_for_a_stream(text):
    assert not is_stream(text)


def event(text: str) -> bytes:
    return b"data: " + text.encode() + b"\r\n\r\n"


def test_a_stream_with_a_whole_answer_in_one_event_is_that_answer():
    document = read_stream(event('{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}'))
    assert document.value["choices"][0]["message"]["content"] == "4"


@pytest.mark.parametrize("end", [b"", b'data: {"choices": [{"del'])
def test_a_stream_that_stops_has_ended_early(end):
    with pytest.raises(EndedEarly):
        read_stream(event('{"choices": [{"delta": {"content": "4"}}]}') + end)


def test_a_stream_that_says_it_is_done_is_whole_without_a_reason():
    stream = event('{"choices": [{"delta": {"content": "4"}}]}') + event("[DONE]")
    assert read_stream(stream).value["choices"][0]["message"]["content"] == "4"


def test_an_event_that_is_no_json_spoils_the_stream():
    with pytest.raises(ValueError, match=r".") as caught:
        read_stream(event("hello") + event("[DONE]"))
    assert not isinstance(caught.value, EndedEarly)


def joined(*chunks: str) -> dict:
    """What the first choice of a stream of these says."""
    choice = read_stream(b"".join(map(event, chunks))).value["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


def test_the_chunks_of_further_choices_are_not_mixed_into_the_first():
    said = joined(
        '{"choices": [{"index": 0, "delta": {"content": "Par"}}]}',
        '{"choices": [{"index": 1, "delta": {"content": "Lyon"}}]}',
        '{"choices": [{"index": 0, "delta": {"content": "is"}, "finish_reason": "length"}]}',
        '{"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}',
    )
    assert said == {"content": "Paris", "refusal": "", "finish_reason": "length"}


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Paris"}]}},
        {"text": "Paris"},
        {"delta": {"content": {"type": "text", "text": "Paris"}}},
    ],
)
def test_text_in_the_parts_of_a_stream_or_beside_its_deltas_is_text(choice):
    chunks = ({"choices": [choice]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert joined(*(orjson.dumps(chunk).decode() for chunk in chunks))["content"] == "Paris"


def test_of_a_stream_that_repeats_its_whole_answer_the_last_counts():
    whole = '{"choices": [{"message": {"content": "%s"}, "finish_reason": %s}]}'
    assert joined(whole % ("Par", "null"), whole % ("Paris", '"stop"'))["content"] == "Paris"


@pytest.mark.parametrize("text", ['{"type": "overloaded_error", "message": "Overloaded"}', '{"success": true}'])
def test_a_stream_of_one_event_without_choices_is_that_event(text):
    assert read_stream(b"event: error\n" + event(text)).value == orjson.loads(text)


@pytest.mark.parametrize("text", [b": PROCESSING\n\n", event('{"choices": [], "usage": null}')])
def test_a_stream_that_stops_before_its_first_choice_has_ended_early(text):
    with pytest.raises(EndedEarly):
        read_stream(text)
