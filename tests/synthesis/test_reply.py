"""From the JSON of a chat completion, as servers write it, to a reply."""

from __future__ import annotations

import json

import pytest

from synthesis.llm.completion import GarbledReplyError, reply_of
from synthesis.reply import Reply


def completion(content: object = "a", top_logprobs: object = None, **message: object) -> dict[str, object]:
    logprobs = None if top_logprobs is None else {"content": [{"top_logprobs": top_logprobs}]}
    return {"choices": [{"finish_reason": "stop", "message": {"content": content, **message}, "logprobs": logprobs}]}


def first_token(text: str) -> tuple[tuple[str, float], ...]:
    """What is read where the alternatives are this JSON, which may hold the NaN and Infinity that Python writes."""
    return reply_of(completion(top_logprobs=json.loads(text))).top_logprobs


def test_a_reply_with_half_a_character_anywhere_can_be_kept() -> None:
    half = "\ud83d"
    reply = reply_of(completion(f"a{half}", [{"token": half, "logprob": -1.0}], reasoning_content=f"{half}b"))
    assert (reply.text, reply.thinking, reply.top_logprobs) == ("a\ufffd", "\ufffdb", (("\ufffd", -1.0),))
    assert Reply.model_validate_json(reply.model_dump_json()) == reply
    assert reply_of({"choices": [{"finish_reason": half}]}).finish_reason == "\ufffd"


@pytest.mark.parametrize("content", [1, ["a"], {"text": "a"}])
def test_a_content_of_another_type_is_no_completion(content: object) -> None:
    with pytest.raises(GarbledReplyError):
        reply_of(completion(content))


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Rain wets."}, {"type": "text", "text": "So."}]}
REASONED = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Rain wets."}], "text": "So."}


@pytest.mark.parametrize("thought", [THOUGHT, REASONED, {"type": "thinking", "thinking": "So."}])
def test_a_content_in_parts_is_text_and_thinking(thought: dict[str, object]) -> None:
    parts = [thought, {"type": "text", "text": "0."}, {"type": "image_url", "image_url": {"url": "x"}}, {"text": "7"}]
    found = reply_of(completion(parts))
    assert found.text == "0.7"
    assert found.thinking is not None
    assert set(found.thinking.split("\n")) <= {"Rain wets.", "So."}
    assert "So." in found.thinking


def test_a_refusal_is_kept_in_its_words() -> None:
    assert reply_of(completion(None, refusal="I cannot.")).refusal == "I cannot."
    assert reply_of(completion([{"type": "refusal", "refusal": "I cannot."}])).refusal == "I cannot."
    assert reply_of(completion("0.7", refusal=None)).refusal is None


@pytest.mark.parametrize("wrong", ["NaN", "Infinity"])
def test_a_log_probability_that_is_no_number_leaves_out_the_others_too(wrong: str) -> None:
    """Without Yes, the No beside it would pass for certain."""
    assert first_token(f'[{{"token": "Yes", "logprob": {wrong}}}, {{"token": "No", "logprob": -1.0}}]') == ()


def test_a_probability_of_0_is_left_out() -> None:
    both = '[{"token": "Yes", "logprob": -Infinity}, {"token": "No", "logprob": 0}]'
    assert first_token(both) == (("No", 0.0),)
