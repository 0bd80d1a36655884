from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from synthesis.batch.lines import ResultLine, read_line
from synthesis.call import About, Call
from synthesis.errors import StoppedError
from synthesis.ledger import ledger
from synthesis.ledger.ledger import Ledger
from synthesis.llm.budget import cost
from synthesis.llm.client import Caller
from synthesis.llm.completion import GarbledReplyError
from synthesis.llm.concessions import Manner
from synthesis.llm.endpoint_client import EndpointClient
from synthesis.llm.errors import MAX_WAIT_S
from synthesis.llm.skip_list import HOPELESS, SkippedError
from synthesis.panel.defaults import DEFAULT_ENDPOINT
from synthesis.panel.settings import Endpoint, ModelConfig
from synthesis.reply import Failure, Reply, request_row
from tests.synthesis.faulty_endpoint import (
    Fault,
    answers,
    answers_and_closes,
    breaks_off,
    drips,
    fails,
    fails_as,
    faulty,
    hangs,
    in_turn,
    only_without_response_format,
    refuses_body,
    refuses_schema,
    refuses_text,
    sends,
    talks,
)
from warehouse.errors import InputError, ServiceError

KEY = "sk-secret-of-test-1"
FORMAT = json.dumps({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}})
ABOUT = About("elicit", "v", "subject", "verbalised", "1")


def call(content: str = "a", **changes: Any) -> Call:
    base = Call(endpoint="e", model="m", messages=({"role": "user", "content": content},), max_tokens=8, about=ABOUT)
    return dataclasses.replace(base, **changes)


def endpoint(url: str, **changes: object) -> Endpoint:
    settings = {"name": "e", "base_url": url, "timeout_s": 2.0, "max_attempts": 3, "max_in_flight": 4}
    settings["patience_s"] = 0.5
    return Endpoint.model_validate(settings | changes)


def ask(settings: Endpoint, ledger: Path, *calls: Call, at_once: bool = True) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        with Ledger.open(ledger) as kept:
            async with Caller([settings], kept, backoff_s=0.01) as caller:
                if at_once:
                    return list(await asyncio.gather(*(caller.ask(each) for each in calls)))
                return [await caller.ask(each) for each in calls]

    return asyncio.run(run())


def only(outcomes: list[Reply | Failure]) -> Reply:
    assert len(outcomes) == 1
    assert isinstance(outcomes[0], Reply)
    return outcomes[0]


def test_a_reply_comes_with_its_tokens_and_time(tmp_path: Path) -> None:
    with faulty(answers("hello", logprob=-0.5, after_s=0.05)) as server:
        reply = only(ask(endpoint(server.url), tmp_path / "l", call(seed=3, temperature=0.5, top_logprobs=5)))
    assert (reply.text, reply.finish_reason, reply.tokens_in, reply.tokens_out) == ("hello", "stop", 10, 5)
    assert reply.top_logprobs == (("Yes", -0.5), ("No", -2.0))
    assert 0.05 <= reply.latency_s < 2
    sent = server.bodies[0]
    assert {name: sent[name] for name in ("seed", "temperature", "logprobs", "top_logprobs", "max_tokens")} == {
        "seed": 3,
        "temperature": 0.5,
        "logprobs": True,
        "top_logprobs": 5,
        "max_tokens": 8,
    }
    assert (reply.cost, reply.structured) == (None, False)


def test_a_reply_costs_what_its_tokens_do_and_says_who_paid(tmp_path: Path) -> None:
    with faulty(answers("hello")) as server:
        priced = endpoint(server.url, price_in=1.0, price_out=4.0)
        reply = only(ask(priced, tmp_path / "l", call()))
    assert reply.cost == pytest.approx((10 + 4 * 5) / 1e6)
    assert reply.paid_by == call().request_id
    assert cost(10, 5, (1.0, None)) is None
    assert cost(10, 5, (1.0, 4.0), share=0.5) == pytest.approx(15 / 1e6)


def test_a_second_run_asks_nothing_again(tmp_path: Path) -> None:
    calls = [call(str(number)) for number in range(5)]
    with faulty(answers("hello")) as server:
        ask(endpoint(server.url), tmp_path / "l", *calls[:3])
        again = ask(endpoint(server.url), tmp_path / "l", *calls)
        assert server.requests == 5
    assert all(isinstance(reply, Reply) for reply in again)


def test_a_call_that_two_ask_at_a_time_is_sent_once(tmp_path: Path) -> None:
    with faulty(answers("hello", after_s=0.1)) as server:
        replies = ask(endpoint(server.url), tmp_path / "l", call(), call(), call())
        assert server.requests == 1
    assert {only([reply]).text for reply in replies} == {"hello"}


@pytest.mark.parametrize(
    "fault",
    [
        fails(500),
        fails(503),
        fails(429, retry_after="0.01"),
        fails(408),
        breaks_off(),
        sends(b'{"choices": [{"mess'),
        sends(b"<html>busy</html>", "text/html"),
        sends(b"[1, 2]"),
        sends(b"{}"),
        sends(b'{"error": {"message": "Upstream overloaded", "code": 502}}'),
        sends(b'{"error": "busy", "choices": []}'),
        sends(b"[" * 200_000),
        sends(b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        talks(b"GARBAGE\r\n\r\n"),
        talks(b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n{}"),
        talks(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\nabc\r\n"),
        fails(429, retry_after="Fri, 31 Dec 9999 23:59:59 -0100"),
        sends(b'{"choices": ["x"]}'),
        sends(b'{"choices": [{"message": {"content": ["x"]}}]}'),
        sends(b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"top_logprobs": [{}]}]}}]}'),
        hangs(3.0),
        drips(3.0),
    ],
    ids=[
        "500",
        "503",
        "429",
        "408",
        "broken off",
        "cut JSON",
        "HTML",
        "a list",
        "no choices",
        "an error",
        "an error beside choices",
        "deep",
        "deep choices",
        "no status line",
        "a header that is none",
        "a chunk that is none",
        "a date beyond time",
        "a text as choice",
        "a list as text",
        "no log-probability",
        "hangs",
        "drips",
    ],
)
def test_a_passing_fault_is_survived_and_not_kept(tmp_path: Path, fault: Fault) -> None:
    with faulty(fault, fault, answers("hello")) as server:
        reply = only(ask(endpoint(server.url, timeout_s=1.0), tmp_path / "l", call()))
        assert reply.text == "hello"
        assert server.requests == 3


def test_a_storm_ends_and_all_are_answered(tmp_path: Path) -> None:
    storm = [fails(500)] * 8
    with faulty(*storm, answers("hello")) as server:
        replies = ask(endpoint(server.url, max_attempts=4), tmp_path / "l", *(call(str(n)) for n in range(20)))
        assert server.requests == 28
        assert server.most_in_flight <= 4
    assert all(isinstance(reply, Reply) for reply in replies)


@pytest.mark.parametrize("as_date", [False, True])
def test_the_pause_that_an_endpoint_asks_for_is_kept(tmp_path: Path, as_date: bool) -> None:
    pause = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if as_date else "0.6"
    with faulty(fails(429, retry_after=pause), answers("hello")) as server:
        started = time.monotonic()
        only(ask(endpoint(server.url), tmp_path / "l", call()))
    assert time.monotonic() - started >= 0.6


def test_a_pause_beyond_patience_ends_the_run_at_once(tmp_path: Path) -> None:
    with faulty(fails(429, retry_after=str(MAX_WAIT_S * 30))) as server:
        with pytest.raises(ServiceError, match="run again in 3600 s"):
            ask(endpoint(server.url), tmp_path / "l", call())
        assert server.requests == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [], "error": null}',
        b'{"choices": [{"index": 0}]}',
        b'{"choices": [{"message": {"role": "assistant", "content": null}, "logprobs": {"content": []}}]}',
    ],
)
def test_an_answer_without_text_is_an_empty_reply_that_is_kept(tmp_path: Path, body: bytes) -> None:
    with faulty(sends(body)) as server:
        for _ in range(2):
            assert only(ask(endpoint(server.url), tmp_path / "l", call())).text == ""
        assert server.requests == 1


def test_a_reply_with_half_a_character_is_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    """The two bytes of an é, of which max_tokens cut off the second one."""
    with faulty(sends(b'{"choices": [{"message": {"content": "a caf\xc3"}, "finish_reason": "length"}]}')) as server:
        reply = only(ask(endpoint(server.url), tmp_path / "l", call()))
        assert (reply.text, reply.finish_reason, server.requests) == ("a caf\ufffd", "length", 1)


def test_log_probabilities_of_which_one_is_no_number_are_left_out(tmp_path: Path) -> None:
    with faulty(answers("Yes", logprob=float("nan"))) as server:
        for _ in range(2):
            assert only(ask(endpoint(server.url), tmp_path / "l", call())).top_logprobs == ()


@pytest.mark.parametrize("usage", [None, "x", {"prompt_tokens": 10**25, "completion_tokens": -1}, [], {}])
def test_a_count_that_is_none_is_not_known(tmp_path: Path, usage: object) -> None:
    with faulty(answers("hello", usage=usage)) as server:
        reply = only(ask(endpoint(server.url, price_in=1.0, price_out=1.0), tmp_path / "l", call()))
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.cost) == ("hello", None, None, None)


def test_a_count_that_no_table_holds_is_not_known_in_what_older_versions_kept() -> None:
    reply = Reply.model_validate_json(json.dumps({"text": "a", "tokens_in": 10**25, "tokens_out": 3}))
    assert (reply.tokens_in, reply.tokens_out) == (None, 3)


@pytest.mark.parametrize(
    "fault",
    [
        fails(404, f"no model for {KEY}"),
        fails(500, f"broken with {KEY}"),
        fails(429, f"slow down {KEY}", retry_after="3600"),
        fails(503, f"later {KEY}", retry_after="3600"),
        sends(json.dumps({"error": f"who is {KEY}"}).encode()),
        sends(json.dumps({"choices": [{"message": {"content": [KEY]}}]}).encode()),
        talks(f"{KEY}\r\n\r\n".encode()),
    ],
    ids=["404", "500", "429", "503", "an error", "wrong type", "no HTTP"],
)
def test_a_key_stands_in_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with faulty(fault) as server, pytest.raises(ServiceError) as caught:
        ask(endpoint(server.url, api_key_env="TEST_KEY", max_attempts=1), tmp_path / "l", call())
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_asks_before_the_pause_that_one_was_told_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Neither those that are on the way to their next request, nor those that wait for the rate."""
    monkeypatch.setattr("synthesis.llm.rate.MINUTE_S", 0.2)
    times: list[float] = []
    faults = (answers("a"), answers("a"), fails(status, retry_after="1"), answers("a", after_s=0.02))
    with faulty(in_turn(*faults, times=times)) as server:
        settings = endpoint(server.url, max_in_flight=8, requests_per_minute=4, patience_s=30.0)
        outcomes = ask(settings, tmp_path / "l", *(call(str(number)) for number in range(12)))
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert len(times) == 13
    # Those of the same moment are on the way when the wish is heard.
    assert not [at for at in times if times[2] + 0.1 < at < times[2] + 1.0]


def test_a_rate_limit_that_lasts_ends_the_run_when_patience_does(tmp_path: Path) -> None:
    with faulty(fails(429)) as server:
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"limits the rate \(HTTP 429 no, no answer to anybody for 0.5 s\)"):
            ask(endpoint(server.url), tmp_path / "l", *(call(str(number)) for number in range(9)))
        assert 0.5 <= time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "check the key in TEST_KEY"),
        (403, "check the key"),
        (402, "the account is out of money"),
        (404, "the model m"),
    ],
)
def test_what_no_call_can_survive_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, says: str
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with faulty(fails(status, f"wrong key {KEY}")) as server:
        with pytest.raises(ServiceError, match=says) as caught:
            ask(endpoint(server.url, api_key_env="TEST_KEY"), tmp_path / "l", call())
        assert server.requests == 1
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert server.url in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_stands_in_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with faulty(fails(400, f"bad request with {KEY}"), answers(f"hello, {KEY}")) as server:
        settings = endpoint(server.url, api_key_env="TEST_KEY")
        outcomes = ask(settings, tmp_path / "l", call("a"), call("b"), at_once=False)
    assert isinstance(outcomes[1], Reply)
    assert outcomes[1].text == "hello, [key]"
    assert outcomes[0] == Failure(reason="rejected", detail="HTTP 400 bad request with [key]")
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_that_is_a_word_changes_no_text_and_no_error_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "local")
    with faulty(fails(400, "bad key local"), answers("The local bakery is closed.")) as server:
        settings = endpoint(server.url, api_key_env="TEST_KEY")
        outcomes = ask(settings, tmp_path / "l", call("a"), call("b"), at_once=False)
    assert isinstance(outcomes[1], Reply)
    assert outcomes[1].text == "The local bakery is closed."
    assert outcomes[0] == Failure(reason="rejected", detail="HTTP 400 bad key [key]")


def test_one_refused_call_does_not_stop_the_others(tmp_path: Path) -> None:
    with faulty(refuses_text("poison", 400, "hello")) as server:
        outcomes = ask(endpoint(server.url), tmp_path / "l", call("a"), call("poison"), call("b"), at_once=False)
        assert server.requests == 3
    assert [type(outcome) for outcome in outcomes] == [Reply, Failure, Reply]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "too long"}}, "too long"),
        ({"object": "error", "message": "too long"}, "too long"),
        ({"error": "too\nlong"}, "too long"),
        ({"detail": "too long"}, "too long"),
        ({"error": {"message": None, "code": "too_long"}}, "too_long"),
        ("too long", "too long"),
        ([], ""),
    ],
)
def test_a_refusal_is_told_in_the_servers_words_in_whatever_form(tmp_path: Path, body: object, words: str) -> None:
    """At once and in a batch alike."""
    expected = Failure(reason="rejected", detail=f"HTTP 400 {words}".strip())
    with faulty(lambda handler: handler.send(400, json.dumps(body).encode())) as server:
        assert ask(endpoint(server.url), tmp_path / "l", call()) == [expected]
    line = {"custom_id": "c", "response": {"status_code": 400, "body": body}}
    assert read_line(json.dumps(line), structured=False, secret=None) == ResultLine("c", expected)


def test_one_call_that_breaks_its_endpoint_fails_alone(tmp_path: Path) -> None:
    with faulty(refuses_text("poison", 500, "hello")) as server:
        outcomes = ask(endpoint(server.url), tmp_path / "l", call("a"), call("poison"), call("b"), at_once=False)
        assert outcomes[1] == Failure(reason="not_answered", detail="HTTP 500")
        assert isinstance(outcomes[2], Reply)
        ask(endpoint(server.url), tmp_path / "l", call("a"), call("b"))
        assert server.requests == 5


def test_an_endpoint_that_answers_nothing_any_more_ends_the_run(tmp_path: Path) -> None:
    with faulty(answers("hello"), fails(500)) as server:
        with pytest.raises(ServiceError, match="did not come back"):
            ask(endpoint(server.url), tmp_path / "l", *(call(str(n)) for n in range(9)), at_once=False)
        assert server.requests < 1 + 9 * 3
        sent = server.requests
        assert only(ask(endpoint(server.url), tmp_path / "l", call("0"))).text == "hello"
        assert server.requests == sent


def test_an_endpoint_that_refuses_connections_ends_the_run(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ServiceError, match=f"endpoint e at {url} does not answer") as caught:
        ask(endpoint(url), tmp_path / "l", call())
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_stays_away_ends_the_run_when_patience_does(tmp_path: Path) -> None:
    async def run() -> None:
        with Ledger.open(tmp_path / "l") as kept:
            with faulty(answers_and_closes("hello")) as server:
                caller = Caller([endpoint(server.url)], kept, backoff_s=0.01)
                await caller.ask(call("a"))
            async with caller:
                await caller.ask(call("b"))

    with pytest.raises(ServiceError, match="did not come back"):
        asyncio.run(run())


def test_an_endpoint_that_dies_and_comes_back_answers_every_call(tmp_path: Path) -> None:
    async def run() -> list[Reply | Failure]:
        with Ledger.open(tmp_path / "l") as kept:
            with faulty(answers_and_closes("hello")) as server:
                patient = endpoint(server.url, patience_s=30.0)
                caller = Caller([patient], kept, backoff_s=0.01)
                await caller.ask(call("first"))
            port = int(server.url.rsplit(":", 1)[1].removesuffix("/v1"))
            async with caller:
                asked = [asyncio.ensure_future(caller.ask(call(str(number)))) for number in range(20)]
                await asyncio.sleep(1.0)
                assert not any(task.done() for task in asked)
                with faulty(answers("again"), port=port):
                    return list(await asyncio.gather(*asked))

    assert [only([reply]).text for reply in asyncio.run(run())] == ["again"] * 20


def test_a_server_without_response_formats_is_asked_without(tmp_path: Path) -> None:
    with faulty(only_without_response_format('{"a": 1}')) as server:
        calls = [call(str(number), response_format=FORMAT) for number in range(3)]
        replies = ask(endpoint(server.url), tmp_path / "l", *calls, at_once=False)
        assert ["response_format" in body for body in server.bodies] == [True, False, False, False]
        assert json.loads(only(replies[:1]).text) == {"a": 1}
        assert not only(replies[:1]).structured
        assert ask(endpoint(server.url), tmp_path / "l", *calls) == replies
        assert server.requests == 4


def test_a_schema_that_is_refused_leaves_the_other_schemas_of_the_model(tmp_path: Path) -> None:
    bad, good = (FORMAT.replace('"object"', f'"object", "{name}": 1') for name in ("maxLength", "minLength"))
    with faulty(refuses_schema("maxLength", '{"a": 1}')) as server:
        calls = [call(str(number), response_format=form) for number, form in enumerate((bad, good, bad, good))]
        replies = ask(endpoint(server.url), tmp_path / "l", *calls, at_once=False)
        assert ["response_format" in body for body in server.bodies] == [True, False, True, False, True]
    assert [only([reply]).structured for reply in replies] == [False, True, False, True]


def test_an_empty_account_ends_its_endpoint_at_once_in_the_servers_words(tmp_path: Path) -> None:
    words = "You exceeded your current quota, please check your plan."
    with faulty(fails_as(429, words, code="insufficient_quota", type="insufficient_quota")) as server:
        before = time.monotonic()
        with pytest.raises(ServiceError, match=rf"out of money \(HTTP 429 {words}\); top it up") as caught:
            ask(endpoint(server.url, patience_s=60.0), tmp_path / "ledger", call())
    assert (server.requests, "limits the rate" in str(caught.value)) == (1, False)
    assert time.monotonic() - before < 10


def test_a_quota_of_a_minute_is_a_limited_rate_and_waited_for(tmp_path: Path) -> None:
    words = "You exceeded your current quota, please check your plan and billing details."
    with faulty(fails_as(429, words, code=429, status="RESOURCE_EXHAUSTED"), answers("a")) as server:
        assert only(ask(endpoint(server.url), tmp_path / "ledger", call())).text == "a"


SYSTEM = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"})


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "System role not supported"),
        (500, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Only user and assistant roles are supported!"),
        (400, "Developer instruction is not enabled for models/gemma-3-1b-it"),
    ],
)
def test_a_model_without_a_system_turn_is_asked_with_its_text_in_the_users(
    tmp_path: Path, status: int, words: str
) -> None:
    with faulty(refuses_body('"system"', status, words, "fine")) as server:
        calls = [call(messages=SYSTEM, seed=seed, response_format=FORMAT) for seed in (1, 2)]
        found = ask(endpoint(server.url), tmp_path / "ledger", *calls, at_once=False)
        assert [only([one]).text for one in found] == ["fine", "fine"]
        assert [only([one]).structured for one in found] == [True, True]
        assert [[turn["role"] for turn in body["messages"]] for body in server.bodies] == [
            ["system", "user"],
            ["user"],
            ["user"],
        ]
        assert server.bodies[-1]["messages"][0]["content"] == "Be brief.\n\na"
        # What was paid for is found under the key of the call as it was meant.
        ask(endpoint(server.url), tmp_path / "ledger", *calls)
        assert server.requests == 3


def test_an_error_that_only_speaks_of_a_system_is_none_of_its_turn(tmp_path: Path) -> None:
    with faulty(fails(500, "The system is not available"), answers("a")) as server:
        only(ask(endpoint(server.url), tmp_path / "ledger", call(messages=SYSTEM)))
    assert [len(body["messages"]) for body in server.bodies] == [2, 2]


@pytest.mark.parametrize(
    "words",
    [
        "Cannot request more than 5 logprobs.",
        "Invalid value for 'top_logprobs': must be less than or equal to 5.",
        "Requested sample logprobs of 20, which is greater than max allowed: 5",
    ],
)
def test_a_server_that_gives_fewer_alternatives_is_asked_for_its_most(tmp_path: Path, words: str) -> None:
    async def run(url: str) -> tuple[list[Reply | Failure], list[str]]:
        with Ledger.open(tmp_path / "ledger") as kept:
            async with Caller([endpoint(url)], kept, backoff_s=0.01) as caller:
                replies = [await caller.ask(call(top_logprobs=20, seed=seed)) for seed in (1, 2)]
                return replies, caller.notes

    with faulty(refuses_body('"top_logprobs": 20', 400, words, "Yes", logprob=-0.1)) as server:
        replies, said = asyncio.run(run(server.url))
    assert [body["top_logprobs"] for body in server.bodies] == [20, 5, 5]
    assert [only([one]).top_logprobs[0] for one in replies] == [("Yes", -0.1)] * 2
    assert json.loads(request_row(call(top_logprobs=20), replies[0], None).parameters)["top_logprobs"] == 5
    assert said == ["endpoint e: m gives at most 5 alternatives of a token and is asked for 5"]


def test_a_refusal_that_names_no_smaller_number_stays_one(tmp_path: Path) -> None:
    with faulty(fails(400, "logprobs are not supported by this model (20 asked)")) as server:
        (found,) = ask(endpoint(server.url), tmp_path / "ledger", call(top_logprobs=20))
    assert isinstance(found, Failure)
    assert (server.requests, found.reason) == (1, "rejected")


def test_a_key_that_is_not_set_is_named(tmp_path: Path) -> None:
    assert "NO_SUCH_KEY" not in os.environ
    with pytest.raises(InputError, match="NO_SUCH_KEY is not set"):
        ask(endpoint("http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY"), tmp_path / "l", call())


def test_the_embedded_server_must_be_started_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="embedded server is not started"):
        ask(DEFAULT_ENDPOINT, tmp_path / "l", call())


def test_an_unknown_endpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="endpoint other: not among the endpoints"):
        ask(endpoint("http://127.0.0.1:9/v1"), tmp_path / "l", call(endpoint="other"))


def test_a_proxy_of_the_environment_is_not_used_for_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with faulty(answers("hello")) as server:
        assert only(ask(endpoint(server.url), tmp_path / "l", call())).text == "hello"


def test_attempts_that_may_have_been_billed_count_towards_the_limit_of_cost(tmp_path: Path) -> None:
    """A time-out of a call of which one attempt fits into the limit, and two do not."""

    async def spent(url: str) -> float:
        with Ledger.open(tmp_path / "l") as kept:
            priced = endpoint(url, price_in=1e6, price_out=2e6, timeout_s=0.2)
            async with Caller([priced], kept, max_cost=30.0, backoff_s=0.01) as caller:
                with pytest.raises(StoppedError):
                    await caller.ask(call())
                assert caller.budget.paid == 0.0
                return caller.budget.unsure

    most = call().most_tokens_in * 1.0 + 8 * 2.0
    assert most <= 30.0 < 2 * most
    with faulty(hangs(0.5), answers("hello")) as server:
        assert asyncio.run(spent(server.url)) == pytest.approx(most)
        assert server.requests == 1


def test_a_reply_without_a_count_of_tokens_counts_at_its_most(tmp_path: Path) -> None:
    async def spent(url: str) -> tuple[float, float, int]:
        with Ledger.open(tmp_path / "l") as kept:
            priced = endpoint(url, price_in=1e6, price_out=2e6)
            async with Caller([priced], kept, max_cost=60.0) as caller:
                await caller.ask(call("a"))
                await caller.ask(call("b"))
                with pytest.raises(StoppedError):
                    await caller.ask(call("c"))
                return caller.budget.paid, caller.budget.unsure, caller.uncounted

    most = call().most_tokens_in * 1.0 + 8 * 2.0
    assert 2 * most <= 60.0 < 3 * most
    with faulty(answers("hello", usage={})) as server:
        paid, unsure, uncounted = asyncio.run(spent(server.url))
        assert (paid, uncounted) == (0.0, 2)
        assert unsure == pytest.approx(2 * most)
        assert server.requests == 2


def test_a_labeler_that_is_only_rejected_is_left_out_and_others_are_not(tmp_path: Path) -> None:
    other = dataclasses.replace(ABOUT, labeler="w")

    async def run(url: str) -> list[Reply | Failure]:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([endpoint(url)], kept) as caller:
                outcomes = [await caller.ask(call(f"poison {number}")) for number in range(HOPELESS)]
                with pytest.raises(SkippedError, match=r"rejects every request of v .*HTTP 400 cannot take poison"):
                    await caller.ask(call("a"))
                return [*outcomes, await caller.ask(call("a", about=other)), await caller.ask(call("b", about=other))]

    with faulty(refuses_text("poison", 400, "hello")) as server:
        outcomes = asyncio.run(run(server.url))
        assert server.requests == HOPELESS + 2
    assert [type(outcome) for outcome in outcomes] == [Failure] * HOPELESS + [Reply, Reply]


def test_a_labeler_that_had_replies_is_not_left_out(tmp_path: Path) -> None:
    calls = [call("a"), *(call(f"poison {number}") for number in range(2 * HOPELESS)), call("b")]
    with faulty(refuses_text("poison", 400, "hello")) as server:
        outcomes = ask(endpoint(server.url), tmp_path / "l", *calls, at_once=False)
    assert [type(outcome) for outcome in outcomes] == [Reply, *[Failure] * (2 * HOPELESS), Reply]


def test_a_labeler_that_waits_for_its_own_rate_holds_nobody_else_up(tmp_path: Path) -> None:
    slow = ModelConfig(name="slow", endpoint="e", model="m", requests_per_minute=1)
    thirsty = ModelConfig(name="thirsty", endpoint="e", model="m", tokens_per_minute=1)
    of = {name: dataclasses.replace(ABOUT, labeler=name) for name in ("slow", "thirsty", "quick")}

    async def run(url: str) -> None:
        quick = ModelConfig(name="quick", endpoint="e", model="m")
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([endpoint(url)], kept, [slow, thirsty, quick]) as caller:
                held = [
                    asyncio.ensure_future(caller.ask(call(f"{name} {number}", about=of[name])))
                    for number in range(6)
                    for name in ("slow", "thirsty")
                ]
                await asyncio.sleep(0.3)
                others = [caller.ask(call(f"quick {number}", about=of["quick"])) for number in range(20)]
                assert len(await asyncio.wait_for(asyncio.gather(*others), 10)) == 20
                caller.stop.set("enough")
                ended = await asyncio.gather(*held, return_exceptions=True)
        assert sum(isinstance(each, StoppedError) for each in ended) == 10

    with faulty(answers("hello")) as server:
        asyncio.run(run(server.url))
        assert server.requests == 22


def test_never_are_more_on_the_way_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("bound", "free", "unknown")
    under_way = dict.fromkeys(names, 0)
    most = dict.fromkeys((*names, "all"), 0)
    failed: set[str] = set()

    async def send(_: EndpointClient, sent: Call, manner: Manner) -> Reply:
        under_way[sent.about.labeler] += 1
        for name, number in (under_way | {"all": sum(under_way.values())}).items():
            most[name] = max(most[name], number)
        await asyncio.sleep(0.01)
        under_way[sent.about.labeler] -= 1
        if sent.key not in failed and int(sent.key[:2], 16) % 8 == 0:
            failed.add(sent.key)
            raise GarbledReplyError("once")
        return Reply(text="hello", structured=manner.structured)

    async def run() -> None:
        configs = [
            ModelConfig(name="bound", endpoint="e", model="m", max_in_flight=2),
            ModelConfig(name="free", endpoint="e", model="m"),
        ]
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([endpoint("http://127.0.0.1:9/v1")], kept, configs, backoff_s=0.01) as caller:
                calls = [
                    call(f"{name} {number}", about=dataclasses.replace(ABOUT, labeler=name))
                    for number in range(40)
                    for name in names
                ]
                replies = await asyncio.gather(*(caller.ask(each) for each in calls))
                assert all(isinstance(each, Reply) for each in replies)

    monkeypatch.setattr(EndpointClient, "_post", send)
    asyncio.run(run())
    assert failed
    assert (most["bound"], most["all"]) == (2, 4)


def test_who_waits_for_the_reply_of_another_process_leaves_when_the_run_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "POLL_S", 60.0)

    async def run() -> None:
        with Ledger.open(tmp_path / "l") as theirs, Ledger.open(tmp_path / "l") as ours:
            assert await theirs.reserve(call()) is None
            async with Caller([endpoint("http://127.0.0.1:9/v1")], ours) as caller:
                waiting = asyncio.ensure_future(caller.ask(call()))
                await asyncio.sleep(0.2)
                assert not waiting.done()
                caller.stop.set("enough")
                with pytest.raises(StoppedError, match="enough"):
                    await asyncio.wait_for(waiting, 5.0)
            theirs.release(call())

    asyncio.run(run())
