"""The edge to endpoints: whatever they send, nothing but the declared error comes of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthesis.llm.completion import GarbledReplyError, reply_of
from synthesis.llm.errors import retry_after
from synthesis.reply import Reply

NAMES = [
    "choices",
    "error",
    "message",
    "content",
    "reasoning",
    "finish_reason",
    "logprobs",
    "top_logprobs",
    "token",
    "logprob",
    "usage",
    "prompt_tokens",
    "completion_tokens",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
TOKENS = st.fixed_dictionaries({"token": LEAVES, "logprob": LEAVES})
COMPLETIONS = st.fixed_dictionaries(
    {
        "choices": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"message": JSON | st.fixed_dictionaries({"content": st.text() | JSON})},
                optional={
                    "finish_reason": JSON,
                    "logprobs": JSON
                    | st.fixed_dictionaries(
                        {"content": JSON | st.lists(st.fixed_dictionaries({"top_logprobs": st.lists(TOKENS)}))}
                    ),
                },
            ),
            max_size=2,
        )
    },
    optional={"usage": JSON | st.dictionaries(st.sampled_from(NAMES[-2:]), LEAVES), "error": JSON},
)


@given(JSON | COMPLETIONS)
@example({"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 2**63}})
def test_whatever_json_comes_is_a_reply_that_can_be_kept_or_garbled(data: object) -> None:
    try:
        reply = reply_of(data)
    except GarbledReplyError:
        return
    for count in (reply.tokens_in, reply.tokens_out):
        assert count is None or 0 <= count < 2**63
    assert Reply.model_validate_json(reply.model_dump_json(exclude_defaults=True)) == reply


def test_a_nest_of_any_depth_is_garbled() -> None:
    nest: object = 0
    for _ in range(20_000):
        nest = [nest]
    for data in (nest, {"choices": nest}, {"choices": [{"message": {"content": nest}}]}):
        with pytest.raises(GarbledReplyError):
            reply_of(data)


HEADERS = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.floats().map(str) | st.integers().map(str)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Fri"]),
    st.integers(-1, 40),
    st.sampled_from(["Jan", "Dec", "x"]),
    st.integers(-1, 99999),
    st.integers(0, 30),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["GMT", "-0000", "-0100", "+2359", "+9999"]),
)


@given(HEADERS | DATES)
@example("Fri, 31 Dec 9999 23:59:59 -0100")
@example("nan")
@example("1e999")
def test_whatever_header_comes_is_a_pause_of_some_seconds(value: str) -> None:
    assert 0.0 <= retry_after(httpx2.Response(429, headers={"retry-after": value})) < float("inf")


def test_a_date_is_the_time_until_then() -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 98 < retry_after(httpx2.Response(503, headers={"retry-after": value})) <= 100


@pytest.mark.parametrize("form", ["%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S -0000"])
def test_a_date_without_a_zone_is_in_utc_wherever_the_run_is(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = (datetime.now(UTC) + timedelta(seconds=100)).strftime(form)
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        pause = retry_after(httpx2.Response(503, headers={"retry-after": value}))
    time.tzset()
    assert 98 < pause <= 100
