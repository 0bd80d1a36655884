from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from synthesis.batch.lines import read_line
from synthesis.batch.results import BatchResults
from synthesis.batch.runner import BatchState, run_batches, under_way
from synthesis.batch.submitter import Submitter
from synthesis.ledger.ledger import Ledger
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.client import Caller
from synthesis.panel.settings import Endpoint, Labeler
from synthesis.questions.elicit import estimates
from synthesis.questions.question import Question
from synthesis.reply import Failure, Reply, request_row
from synthesis.run import run_questions
from tests.synthesis.batch_stub import Answered, BatchStub, Body, batch_stub
from tests.synthesis.faulty_endpoint import answers, faulty
from warehouse.errors import InputError, ServiceError
from warehouse.records import Estimate, PropositionText, Record, Request, content_id, now, proposition_id

VERBALISED = Labeler(name="v", endpoint="e", model="m", prompt="verbalised_short", method="verbalised", max_tokens=64)
SAMPLED = Labeler(
    name="s", endpoint="e", model="n", prompt="verbalised", method="mean_of_samples", samples=3, temperature=1.0
)
COUNT = 7


def proposition(number: int) -> PropositionText:
    # Characters that only some count as line breaks.
    premise, hypothesis = f"It is day {number} of the rain\u2028 and \x85 more.", "The river is high."
    return PropositionText(proposition_id=proposition_id(premise, hypothesis), premise=premise, hypothesis=hypothesis)


def completion(text: str, tokens: tuple[int, int] = (100, 10)) -> Body:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}


def drawn(body: Body) -> Answered:
    """The same reply to the same body: a probability, and sometimes words that hold none."""
    number = int(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:4], 16)
    text = f'{{"reasoning": "\u2028 \x85 so.", "probability": {number % 101 / 100}}}' if number % 4 else "I cannot say."
    return 200, completion(text)


def settings(url: str, **fields: Any) -> Endpoint:
    known = {"price_in": 2.0, "price_out": 8.0, "patience_s": 20.0}
    return Endpoint(name="e", base_url=url, **(known | fields))


def questions(count: int, *labelers: Labeler) -> Iterator[Question]:
    for labeler in labelers or (VERBALISED,):
        yield from estimates(map(proposition, range(count)), labeler)


class Ran:
    """What a run came to."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.states: list[BatchState] = []
        self.spent = 0.0
        self.unsure = 0.0
        self.asked = 0
        self.uncounted = 0
        self.paid: dict[str, float] = {}
        self.reason: str | None = None

    @property
    def requests(self) -> list[Request]:
        return [row for row in self.rows if isinstance(row, Request)]

    @property
    def statuses(self) -> Counter[str]:
        return Counter(row.status for row in self.requests)

    @property
    def estimates(self) -> dict[tuple[str, str], float | None]:
        rows = (row for row in self.rows if isinstance(row, Estimate))
        return {(row.proposition_id, row.labeler): row.probability for row in rows}


def run(
    url: str,
    ledger: Path | str,
    count: int = COUNT,
    *labelers: Labeler,
    batch: bool = True,
    max_cost: float | None = None,
    stop_at: str | None = None,
    endpoint: dict[str, Any] | None = None,
    accounts: list[Ran] | None = None,
    **options: Any,
) -> Ran:
    ran = Ran()

    async def collect() -> None:
        with Ledger.open(ledger) as kept:
            async with Caller([settings(url, **endpoint or {})], kept, labelers, max_cost, 0.01) as caller:
                asked = questions(count, *labelers)

                def on_state(state: BatchState) -> None:
                    ran.states.append(state)
                    if stop_at == "submitted":
                        caller.stop.set("the test stops it")

                if batch:
                    answers = run_batches(asked, caller, "e", **{"poll_s": 0.01, "on_state": on_state, **options})
                else:
                    answers = run_questions(asked, caller, 8)
                try:
                    async with aclosing(answers):
                        async for each in answers:
                            ran.rows.extend(row for answer in each for row in answer.rows)
                finally:
                    assert caller.budget.reserved == 0.0
                    ran.spent, ran.asked, ran.reason = caller.budget.spent, len(caller.fresh), caller.stop.reason
                    ran.unsure, ran.uncounted, ran.paid = caller.budget.unsure, caller.uncounted, caller.paid
                    if accounts is not None:
                        accounts.append(ran)

    asyncio.run(collect())
    return ran


def known_batches(ledger: Path | str) -> list[SubmittedBatch]:
    async def look() -> list[SubmittedBatch]:
        with Ledger.open(ledger) as kept:
            return await kept.batches("e")

    return asyncio.run(look())


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_it_comes_to_the_same_as_asking_at_once(tmp_path: Path) -> None:
    with batch_stub(drawn, polls=2, shuffled=True, twice=True) as stub:
        at_once = run(stub.url, tmp_path / "1", COUNT, VERBALISED, SAMPLED, batch=False)
        batch = run(stub.url, tmp_path / "2", COUNT, VERBALISED, SAMPLED, requests_per_batch=10)
        assert all(count == 1 for count in stub.asked.values())
        models = [{json.loads(line)["body"]["model"] for line in file.splitlines()} for file in uploads(stub)]
    assert all(len(each) == 1 for each in models)
    assert batch.estimates == at_once.estimates
    assert len(batch.estimates) == 2 * COUNT
    assert batch.statuses == at_once.statuses
    assert {row.request_id for row in batch.requests} == {row.request_id for row in at_once.requests}
    assert batch.asked == len(batch.requests) == len(stub.asked)
    # 100 tokens in at 2 and 10 out at 8 a million, by hand; half of it in a batch
    assert [row.cost for row in at_once.requests] == pytest.approx([280e-6] * len(at_once.requests))
    assert [row.cost for row in batch.requests] == pytest.approx([140e-6] * len(batch.requests))
    assert batch.spent == pytest.approx(140e-6 * len(batch.requests))
    assert (batch.unsure, batch.uncounted) == (0.0, 0)
    assert batch.paid == pytest.approx({row.request_id: row.cost for row in batch.requests})
    assert all(json.loads(row.parameters)["batch"] is True for row in batch.requests)
    assert batch.states[-1] == BatchState(len(stub.asked), len(stub.asked), 0)


def uploads(stub: BatchStub) -> list[bytes]:
    return [stub.files[batch["input_file_id"]] for batch in stub.batches.values()]


def test_a_second_run_sends_nothing_and_says_the_same(ledger: Path) -> None:
    with batch_stub(drawn) as stub:
        first = run(stub.url, ledger)
        stub.interface = False
        events = len(stub.events)
        second = run(stub.url, ledger)
        assert len(stub.events) == events
    assert sorted(row.request_id for row in first.requests) == sorted(row.request_id for row in second.requests)
    assert second.estimates == first.estimates
    assert (second.asked, second.spent) == (0, 0.0)
    assert not known_batches(ledger)


RUNNER = """
import asyncio, os, sys
from pathlib import Path
from synthesis.ledger.ledger import Ledger
from tests.synthesis import test_batch

if sys.argv[3] == "kept":
    async def remove(self, batch):
        os._exit(9)
    Ledger.remove_batch = remove
test_batch.run(sys.argv[1], sys.argv[2])
"""


KILLED_AT = ("uploading", "uploaded", "creating", "created", "polled", "half", "kept")


@pytest.mark.parametrize(("event", "number"), [*((event, 1) for event in KILLED_AT), ("uploaded", 2), ("created", 2)])
def test_a_run_that_is_killed_is_taken_up_and_nothing_is_asked_twice(ledger: Path, event: str, number: int) -> None:
    with batch_stub(drawn, polls=1) as stub:
        process: subprocess.Popen[bytes] | None = None

        def kill(now_at: str) -> bool:
            if process is not None and now_at == event and stub.events.count(event) == number:
                process.kill()
                process.wait()
                return True
            return False

        stub.on_event = kill
        process = subprocess.Popen([sys.executable, "-c", RUNNER, stub.url, str(ledger), event])
        assert process.wait(timeout=60) in (-9, 9)
        assert len(known_batches(ledger)) == 1
        resumed = run(stub.url, ledger)
        assert set(stub.asked.values()) == {1}
        assert len(stub.asked) == len(resumed.requests)
    assert len(resumed.estimates) == COUNT
    assert [row.cost for row in resumed.requests] == pytest.approx([140e-6] * len(resumed.requests))
    assert not known_batches(ledger)


def test_replies_that_nobody_asks_for_any_more_are_kept_too(ledger: Path) -> None:
    with batch_stub(drawn, polls=3) as stub:
        stopped = run(stub.url, ledger, stop_at="submitted")
        assert (stopped.reason, stopped.rows) == ("the test stops it", [])
        assert len(known_batches(ledger)) == 1
        for _ in range(5):
            run(stub.url, ledger, 0)
        assert not known_batches(ledger)
        uploaded = stub.events.count("uploaded")
        run(stub.url, ledger)
        assert set(stub.asked.values()) == {1}
        # Only the further tries of what could not be read
        assert stub.events.count("uploaded") - uploaded <= 2


def test_a_run_that_is_stopped_during_an_upload_submits_nothing(ledger: Path) -> None:
    async def stopped(stub: BatchStub) -> tuple[int, float]:
        with Ledger.open(ledger) as kept:
            async with Caller([settings(stub.url)], kept, max_cost=1.0) as caller:
                loop = asyncio.get_running_loop()

                def stop(at: str) -> None:
                    if at == "uploaded":
                        loop.call_soon_threadsafe(caller.stop.set, "the test stops it")

                stub.on_event = stop
                answers = [each async for each in run_batches(questions(COUNT), caller, "e", poll_s=0.01)]
                return len(answers), caller.budget.spent

    with batch_stub(drawn) as stub:
        assert asyncio.run(stopped(stub)) == (0, 0.0)
        assert not stub.batches
        assert not known_batches(ledger)
        stub.on_event = lambda at: False
        assert len(run(stub.url, ledger).estimates) == COUNT


def test_two_runs_at_a_time_ask_everything_once(ledger: Path) -> None:
    with batch_stub(drawn, polls=3) as stub:
        command = [sys.executable, "-c", RUNNER, stub.url, str(ledger), "none"]
        others = [subprocess.Popen(command) for _ in range(2)]
        mine = run(stub.url, ledger)
        assert [other.wait(timeout=60) for other in others] == [0, 0]
        assert set(stub.asked.values()) == {1}
    assert len(mine.estimates) == COUNT


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, ledger: Path) -> Path | str:
    return ledger if request.param == "sqlite" else str(request.getfixturevalue("database"))


@pytest.mark.parametrize("count", [4, 16])
@pytest.mark.parametrize("first", ["plain", "batch"])
def test_a_run_with_batches_and_one_without_at_a_time_ask_everything_once(
    shared: Path | str, first: str, count: int
) -> None:
    """The run without asks 8 at a time, each of which takes a while; the batch takes longer than all of them."""
    asked: list[str] = []
    good = answers('{"probability": 0.5}', after_s=1.5)

    def play(handler: Any) -> None:
        asked.append(json.dumps(handler.body["messages"]))
        good(handler)

    def sure(body: Body) -> Answered:
        asked.append(json.dumps(body["messages"]))
        return 200, completion('{"probability": 0.5}')

    with faulty(play) as slow, batch_stub(sure, polls=100) as stub, ThreadPoolExecutor() as threads:
        runs = {"plain": (slow.url, False), "batch": (stub.url, True)}
        going = {}
        for name in (first, *(runs.keys() - {first})):
            url, batch = runs[name]
            going[name] = threads.submit(run, url, shared, count, batch=batch)
            until(lambda: bool(asked))
        plain, batch_run = going["plain"].result(60), going["batch"].result(60)
    assert len(asked) == len(set(asked)) == count
    assert len(batch_run.estimates) == count
    assert all(value == 0.5 for value in (plain.estimates | batch_run.estimates).values())
    assert len(plain.estimates) < count or first == "plain"
    if (first, count) == ("plain", 16):
        assert 8 <= len(plain.estimates) < 16, "what was not asked yet is left to the batch"
    assert not known_batches(shared)


def until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def test_two_streams_of_one_run_ask_everything_once(ledger: Path) -> None:
    async def both(url: str) -> tuple[int, int]:
        with Ledger.open(ledger) as kept:
            async with Caller([settings(url)], kept) as caller:

                async def stream() -> int:
                    return sum([len(each) async for each in run_batches(questions(COUNT), caller, "e", poll_s=0.01)])

                return await asyncio.gather(stream(), stream())

    with batch_stub(drawn, polls=3) as stub:
        assert list(asyncio.run(both(stub.url))) == [COUNT, COUNT]
        assert set(stub.asked.values()) == {1}


def test_what_does_not_come_is_a_failure_and_is_asked_again_by_the_next_run(ledger: Path) -> None:
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}')), lose=2) as stub:
        first = run(stub.url, ledger)
        assert first.statuses == {"answered": COUNT - 2, "failed": 2}
        assert {row.reason for row in first.requests if row.status == "failed"} == {
            "not_answered: no line in the batch's files"
        }
        assert len(first.estimates) == COUNT - 2
        assert first.states[-1] == BatchState(COUNT, COUNT - 2, 2)
        assert first.asked == COUNT
        stub.lose = 0
        second = run(stub.url, ledger)
    assert second.statuses == {"answered": COUNT}
    assert second.asked == 2


def test_a_batch_that_expires_keeps_what_was_done(ledger: Path) -> None:
    readable = completion('{"reasoning": "So.", "probability": 0.5}')
    with batch_stub(lambda _: (200, readable), ends="expired", expire_after=3) as stub:
        ran = run(stub.url, ledger, COUNT, SAMPLED)
        assert sum(stub.asked.values()) == 3
    assert sum(ran.statuses.values()) == 3 * COUNT
    assert ran.statuses["failed"] == 3 * COUNT - 3
    failed = {row.reason for row in ran.requests if row.status == "failed"}
    assert failed == {"not_answered: It could not be done in time."}
    assert ran.spent == pytest.approx(3 * (100 * 2 + 10 * 8) / 2 / 1e6)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "rejected"), (413, "rejected"), (429, "not_answered"), (500, "not_answered")],
)
def test_lines_with_a_status(ledger: Path, status: int, reason: str) -> None:
    def answer(body: Body) -> Answered:
        if "day 3" in str(body["messages"]):
            return status, {"error": {"message": f"too\nlong for {body['model']}"}}
        return 200, completion('{"probability": 0.5}')

    with batch_stub(answer) as stub:
        ran = run(stub.url, ledger)
    assert ran.statuses == {"answered": COUNT - 1, "failed": 1}
    (failed,) = (row for row in ran.requests if row.status == "failed")
    assert failed.reason == f"{reason}: HTTP {status} too long for m"


ODD: list[Any] = [None, True, 3, -1.5, 1e999, "", "200", "x", "\ud800", [], [[]], {}, {"message": "\ud800 \x00\n."}]


def odd_line(draw: random.Random, key: str) -> str | None:
    """A line of a batch's files as nobody documents it; None where it is left out."""
    body = draw.choice([completion('{"probability": 0.5}'), completion("", (0, 0)), *ODD, {"choices": ODD}])
    if isinstance(body, dict) and draw.random() < 0.5:
        body = body | {draw.choice(["choices", "usage", "error", "x"]): draw.choice(ODD)}
    status = draw.choice([200, 200, "200", 200.0, 400, "422", 404, 429, "503", 0, *ODD])
    line = {
        "custom_id": draw.choice([key] * 9 + ["nobody's", *ODD]),
        "response": draw.choice([{"status_code": status, "body": body}] * 5 + [{"body": body}, *ODD]),
        "error": draw.choice([None, None, *ODD]),
    }
    for name in draw.sample(sorted(line), draw.choice([0, 0, 0, 1])):
        del line[name]
    return draw.choice([json.dumps(line)] * 12 + [None, "", "[" * 10**5, "null", "[]", json.dumps(line)[:-3]])


@pytest.mark.parametrize("seed", range(150))
def test_whatever_the_files_hold_each_call_is_kept_or_failed_or_asked_again(ledger: Path, seed: int) -> None:
    draw = random.Random(seed)
    calls = [call for question in questions(20) for call in next(question)]
    batch = SubmittedBatch(
        local_id="0123456789abcdef",
        endpoint="e",
        batch_id="b",
        model="m",
        structured=draw.random() < 0.5,
        prices=(1.0, 4.0),
        lines={call.key: call.request_id for call in calls},
        created_at=now().isoformat(),
    )
    drawn_lines = [odd_line(draw, call.key) for call in calls for _ in range(draw.choice([1, 1, 1, 2, 3]))]
    lines = [line for line in drawn_lines if line is not None]
    draw.shuffle(lines)
    status = draw.choice(["completed", "expired", "cancelled"])

    async def take_in(known: Ledger) -> tuple[BatchResults, dict[str, Reply]]:
        results = BatchResults(known, batch, "hunter2", lambda _: 1.0)
        for _ in range(draw.choice([1, 2])):  # a file that broke off is read from its start
            for first in range(0, len(lines), 7):
                await results.add(lines[first : first + 7])
        results.end(status)
        return results, await known.recall(calls)

    with Ledger.open(ledger) as known:
        results, replies = asyncio.run(take_in(known))
    outcomes = [*results.kept, *results.failures, *results.again]
    assert sorted(outcomes) == sorted(batch.lines)
    assert replies.keys() == results.kept
    assert all(batch.structured for _ in results.again)
    assert {reply.paid_by for reply in replies.values()} <= set(batch.lines.values())
    counted = sum(reply.cost for reply in replies.values() if reply.cost is not None)
    unknown = sum(reply.cost is None for reply in replies.values())
    assert results.paid == pytest.approx(counted)
    assert results.uncounted == unknown <= results.unsure <= len(calls) - len(results.costs)
    for key, failure in results.failures.items():
        row = request_row(next(call for call in calls if call.key == key), failure, None)
        assert row.status == "failed"
        assert (row.reason or "").encode()


def test_a_status_that_is_text_is_a_status(ledger: Path) -> None:
    answers: list[Any] = ["200", 200.0, None, "429", "404"]
    with batch_stub(lambda body: (answers.pop(0), completion('{"probability": 0.5}'))) as stub:
        ran = run(stub.url, ledger, 5)
    assert ran.statuses == {"answered": 3, "failed": 2}
    reasons = sorted(str(row.reason) for row in ran.requests if row.status == "failed")
    assert reasons == ["not_answered: HTTP 429", "rejected: HTTP 404"]


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": "x"}, {"choices": [{"message": {"content": 3}}]}, [], None, "text"]
)
def test_a_body_that_is_no_completion_is_never_a_number(ledger: Path, body: Any) -> None:
    with batch_stub(lambda sent: (200, body)) as stub:
        ran = run(stub.url, ledger)
    assert sum(ran.statuses.values()) == len(ran.requests)
    assert ran.statuses["answered"] == 0
    assert set(ran.estimates.values()) <= {None}


def test_a_response_format_that_is_refused_is_left_out_once(ledger: Path) -> None:
    def answer(body: Body) -> Answered:
        if "response_format" in body:
            return 400, {"error": {"message": "response_format is not supported"}}
        if "day 3" in str(body["messages"]):
            return 400, {"error": {"message": "too long"}}
        return 200, completion('{"probability": 0.5}')

    with batch_stub(answer) as stub:
        ran = run(stub.url, ledger)
        assert all("response_format" in body for body in stub.bodies[:COUNT])
        assert not any("response_format" in body for body in stub.bodies[COUNT:])
        assert len(stub.bodies) == 2 * COUNT
    assert ran.statuses == {"answered": COUNT - 1, "failed": 1}
    assert ran.asked == COUNT
    answered = [row for row in ran.requests if row.status == "answered"]
    assert {json.loads(row.parameters)["structured"] for row in answered} == {False}


def test_the_limit_of_cost_holds_and_what_fits_is_done(ledger: Path) -> None:
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}', (100, 10)))) as stub:
        most = 0.001
        ran = run(stub.url, ledger, 40, max_cost=most)
        assert 0 < sum(stub.asked.values()) < 40
        assert ran.spent == pytest.approx(140e-6 * sum(stub.asked.values()))
        assert ran.spent <= most
        assert ran.reason is not None
        assert "limit of 0.001" in ran.reason
        assert len(ran.requests) == sum(stub.asked.values())
        # The rest, without a limit
        run(stub.url, ledger, 40)
        assert len(stub.asked) == 40
        assert set(stub.asked.values()) == {1}


def without_usage(body: Body) -> Answered:
    status, answer = drawn(body)
    return status, {name: value for name, value in answer.items() if name != "usage"}


@pytest.mark.parametrize("answer", [without_usage, lambda body: (200, {"choices": "x"})])
def test_the_limit_of_cost_holds_where_nobody_says_how_many_tokens_it_took(ledger: Path, answer: Any) -> None:
    with batch_stub(answer) as stub:
        ran = run(stub.url, ledger, 40, max_cost=0.004, requests_per_batch=2)
        bodies = [json.loads(line)["body"] for file in uploads(stub) for line in file.splitlines()]
    # By hand: two bytes of text a token and 8 tokens a turn at 2, the whole reply at 8 a million; half of it in a batch
    tokens_in = [sum(len(turn["content"].encode()) // 2 + 8 for turn in body["messages"]) for body in bodies]
    most = [(number * 2 + 64 * 8) / 2 / 1e6 for number in tokens_in]
    assert 0 < len(bodies) < 40
    assert ran.spent == pytest.approx(ran.unsure) == pytest.approx(sum(most))
    assert ran.uncounted == (len(bodies) if answer is without_usage else 0)
    assert not ran.paid
    assert ran.spent <= 0.004 < ran.spent + 2 * max(most)
    assert "limit of 0.004" in str(ran.reason)
    assert {row.cost for row in ran.requests} == {None}


def test_a_line_that_does_not_come_counts_at_its_most(ledger: Path) -> None:
    with batch_stub(drawn, lose=2) as stub:
        ran = run(stub.url, ledger, batch=True)
    assert ran.spent - ran.unsure == pytest.approx((COUNT - 2) * 140e-6)
    assert ran.unsure > 2 * 64 * 8 / 2 / 1e6


@pytest.mark.parametrize("max_cost", [None, 1.0])
@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_a_batch_that_stays_there_may_be_billed_and_who_takes_it_in_counts_it(
    ledger: Path, how: str, max_cost: float | None
) -> None:
    accounts: list[Ran] = []
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}')), polls=10**6) as stub:
        if how == "stopped":
            run(stub.url, ledger, max_cost=max_cost, stop_at="submitted", accounts=accounts)
        else:
            stub.on_event = lambda at: at == "polled"
            with pytest.raises(ServiceError, match="does not answer about batches"):
                run(stub.url, ledger, max_cost=max_cost, endpoint={"patience_s": 0.0}, accounts=accounts)
        stub.on_event = lambda at: False
        stub.polls = 0
        (left,) = accounts
        resumed = run(stub.url, ledger, max_cost=max_cost)
        assert set(stub.asked.values()) == {1}
    assert left.spent == left.unsure > COUNT * 64 * 8 / 2 / 1e6
    assert not left.paid
    assert resumed.spent == pytest.approx(COUNT * 140e-6)
    assert (resumed.unsure, resumed.asked) == (0.0, COUNT)
    assert resumed.paid == pytest.approx({row.request_id: row.cost for row in resumed.requests})


@pytest.mark.parametrize("at", ["_planned", "lock", "put_batch", "unasked", "called off"])
def test_orders_that_cannot_be_written_hold_nothing(ledger: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third of them, or all where they are made: neither the budget nor a lock waits for what is not handed in."""

    def failing(do: Callable[..., Any]) -> Callable[..., Any]:
        begun = itertools.count(3 if at == "_planned" else 1)

        async def fail(*arguments: Any) -> Any:
            if next(begun) < 3:
                return await do(*arguments)
            raise ServiceError("the server went away")

        return fail

    async def look() -> tuple[float, bool]:
        with Ledger.open(ledger) as kept, Ledger.open(ledger) as other:
            async with Caller([settings("http://127.0.0.1:1/v1")], kept, max_cost=1.0) as caller:
                submitter = Submitter(caller, "e", (2, 10**6), 0.01, None)
                calls = [call for question in questions(8) for call in next(question)]
                if at == "called off":
                    task = asyncio.ensure_future(submitter.ask(calls))
                    while not submitter._planner._placed:
                        await asyncio.sleep(0)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                else:
                    where = kept if at in ("lock", "put_batch") else submitter._planner
                    monkeypatch.setattr(where, at, failing(getattr(where, at)))
                    with pytest.raises(ServiceError, match="went away"):
                        await submitter.ask(calls)
                    monkeypatch.undo()
                await kept.recall([])  # after what was handed over before, such as locks that are given back
                names = [content_id("batches", "e"), *(each.local_id for each in await kept.batches("e"))]
                locks = [await other.lock(name) for name in names]
                await asyncio.wait_for(caller.budget.reserve(1.0), 5)
                return caller.budget.reserved, all(locks)

    assert asyncio.run(look()) == (1.0, True)


def test_a_batch_that_fails_validation_is_one_line_and_is_forgotten(ledger: Path) -> None:
    with batch_stub(drawn, ends="failed") as stub:
        with pytest.raises(ServiceError, match=r"refuses the batch .*: Line 1 is no good") as caught:
            run(stub.url, ledger)
        assert "\n" not in str(caught.value)
        assert not known_batches(ledger)
        stub.ends = "completed"
        assert len(run(stub.url, ledger).estimates) == COUNT


def test_an_endpoint_without_batches_says_what_to_do(ledger: Path) -> None:
    with batch_stub(drawn, interface=False) as stub, pytest.raises(InputError, match="run without --batch"):
        run(stub.url, ledger)
    assert not known_batches(ledger)


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_batch_that_is_refused_when_it_is_made_holds_nothing(ledger: Path, status: int) -> None:
    with batch_stub(drawn, statuses=[200, 503, 200, status]) as stub:
        with pytest.raises((InputError, ServiceError)) as caught:
            run(stub.url, ledger, max_cost=1.0)
        assert "\n" not in str(caught.value)
        assert not known_batches(ledger)
        assert held_by_batches(stub.url, ledger) == []
        assert len(run(stub.url, ledger).estimates) == COUNT
        assert set(stub.asked.values()) == {1}


def held_by_batches(url: str, ledger: Path | str, lock: str | None = None) -> list[SubmittedBatch]:
    """What a run that is none of batches is told; another process holds the lock, if one is named."""

    async def look() -> list[SubmittedBatch]:
        with Ledger.open(ledger) as kept, Ledger.open(ledger) as other:
            assert lock is None or await other.lock(lock)
            async with Caller([settings(url)], kept) as caller:
                found = await asyncio.wait_for(under_way(caller, "e"), 5)
            await kept.recall([])  # after what was handed over before, such as locks that are given back
            assert lock is not None or all([await other.lock(each.local_id) for each in found])
            return found

    return asyncio.run(look())


def left_alone(stub: BatchStub, ledger: Path, event: str) -> SubmittedBatch:
    """A batch of which nobody knows whether it was made: the connection was cut at that moment, for good."""
    stub.on_event = lambda at: at == event
    with pytest.raises(ServiceError, match="does not answer about batches"):
        run(stub.url, ledger, endpoint={"patience_s": 0.0})
    stub.on_event = lambda at: False
    (batch,) = known_batches(ledger)
    assert batch.batch_id is None
    return batch


def test_a_batch_whose_making_nobody_saw_is_found_also_by_who_wants_none(ledger: Path) -> None:
    with batch_stub(drawn) as stub:
        left_alone(stub, ledger, "created")
        found = held_by_batches(stub.url, ledger)
        assert [batch.batch_id for batch in found] == list(stub.batches)
        assert known_batches(ledger) == found
        assert len(run(stub.url, ledger).estimates) == COUNT
        assert set(stub.asked.values()) == {1}


def test_a_batch_that_was_never_made_is_forgotten_unless_somebody_is_about_to_make_it(ledger: Path) -> None:
    with batch_stub(drawn) as stub:
        batch = left_alone(stub, ledger, "creating")
        assert held_by_batches(stub.url, ledger, lock=batch.local_id) == [batch]
        assert known_batches(ledger) == [batch]
        assert held_by_batches(stub.url, ledger) == []
        assert not known_batches(ledger)


def test_an_endpoint_that_keeps_no_list_of_batches_made_none(ledger: Path) -> None:
    with batch_stub(drawn) as stub:
        left_alone(stub, ledger, "creating")
        stub.interface = False
        assert held_by_batches(stub.url, ledger) == []
        assert not known_batches(ledger)


@pytest.mark.parametrize("status", [403, 500])
def test_while_an_endpoint_does_not_say_a_batch_counts_until_it_is_old(ledger: Path, status: int) -> None:
    with batch_stub(drawn) as stub:
        batch = left_alone(stub, ledger, "creating")
        stub.statuses = [status]
        assert held_by_batches(stub.url, ledger) == [batch]
        asyncio.run(aged(ledger))
        stub.statuses = [status]
        assert held_by_batches(stub.url, ledger) == []
        assert not known_batches(ledger)


async def aged(ledger: Path) -> None:
    """Makes the one batch three days old."""
    with Ledger.open(ledger) as kept:
        (batch,) = await kept.batches("e")
        await kept.remove_batch(batch)
        await kept.put_batch(replace(batch, created_at=(now() - timedelta(days=3)).isoformat()))


def test_a_key_that_is_refused_is_not_shown(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "hunter2")
    for status, words in ((401, "check the key in THE_KEY"), (400, "refuses the batch")):
        with batch_stub(drawn, statuses=[status]) as stub, pytest.raises(ServiceError, match=words) as caught:
            run(stub.url, ledger, endpoint={"api_key_env": "THE_KEY"})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "kept"),
    [("local", "the local bakery"), ("sk-secret-of-test-1", "the [key] bakery"), (None, "the sk-1 bakery")],
)
def test_a_reply_loses_a_key_that_is_no_word(key: str | None, kept: str) -> None:
    body = completion(f"the {key or 'sk-1'} bakery")
    line = json.dumps({"custom_id": "c", "response": {"status_code": 200, "body": body}})
    read = read_line(line, structured=False, secret=key)
    assert read is not None
    assert isinstance(read.result, Reply)
    assert read.result.text == kept
    refused = {"custom_id": "c", "response": {"status_code": 400, "body": {"error": {"message": f"no {key}"}}}}
    read = read_line(json.dumps(refused), structured=False, secret=key)
    assert read is not None
    assert read.result == Failure(reason="rejected", detail=f"HTTP 400 no {'[key]' if key else None}")


@pytest.mark.parametrize("event", ["uploading", "uploaded", "creating", "created", "polled", "half"])
def test_a_connection_that_is_cut_once_costs_nothing(ledger: Path, event: str) -> None:
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}')), shuffled=True) as stub:
        stub.on_event = lambda at: at == event and stub.events.count(event) == 1
        ran = run(stub.url, ledger)
        assert set(stub.asked.values()) == {1}
        assert len(stub.batches) == 1
    assert ran.statuses == {"answered": COUNT}


def test_an_endpoint_in_trouble_is_asked_again(ledger: Path) -> None:
    with batch_stub(drawn, statuses=[500, 429, 200, 503, 200, 200, 502]) as stub:
        assert len(run(stub.url, ledger).estimates) == COUNT
        assert set(stub.asked.values()) == {1}


def test_an_endpoint_that_stays_down_is_one_line(ledger: Path) -> None:
    with pytest.raises(ServiceError, match="does not answer about batches") as caught:
        run("http://127.0.0.1:1/v1", ledger, endpoint={"patience_s": 0.1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("old", [False, True])
def test_a_batch_that_the_endpoint_does_not_know_is_not_paid_twice_rashly(ledger: Path, old: bool) -> None:
    with batch_stub(drawn, polls=100) as stub:
        run(stub.url, ledger, stop_at="submitted")
        stub.batches.clear()
        stub.polls = 0
        if not old:
            with pytest.raises(ServiceError, match="does not know the batch"):
                run(stub.url, ledger)
            return
        asyncio.run(aged(ledger))
        assert len(run(stub.url, ledger).estimates) == COUNT


def test_two_questions_that_ask_the_same_pay_once(ledger: Path) -> None:
    twin = VERBALISED.model_copy(update={"name": "twin"})
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}'))) as stub:
        ran = run(stub.url, ledger, COUNT, VERBALISED, twin)
        assert len(stub.asked) == COUNT
    assert len(ran.requests) == 2 * COUNT
    assert sum(row.cost or 0.0 for row in ran.requests) == pytest.approx(140e-6 * COUNT)
    assert Counter(row.cached for row in ran.requests) == {True: COUNT, False: COUNT}


@pytest.mark.parametrize("options", [{"requests_per_batch": 3}, {"bytes_per_batch": 2500}, {"bytes_per_batch": 1}])
def test_batches_stay_within_their_limits(ledger: Path, options: dict[str, Any]) -> None:
    with batch_stub(lambda body: (200, completion('{"probability": 0.5}'))) as stub:
        ran = run(stub.url, ledger, **options)
        sizes = [(len(file.splitlines()), len(file)) for file in uploads(stub)]
    assert len(sizes) > 1
    assert all(lines <= options.get("requests_per_batch", COUNT) for lines, _ in sizes)
    assert all(size <= options.get("bytes_per_batch", 10**9) or lines == 1 for lines, size in sizes)
    assert len(ran.estimates) == COUNT


def test_on_postgres(database: str) -> None:
    with batch_stub(drawn, polls=2) as stub:
        run(stub.url, database, stop_at="submitted")
        assert len(known_batches(database)) == 1
        ran = run(stub.url, database)
        assert set(stub.asked.values()) == {1}
    assert len(ran.estimates) == COUNT
    assert not known_batches(database)


@pytest.mark.slow
def test_with_a_real_model_behind_it(ledger: Path, llm_url: str) -> None:
    def forward(body: Body) -> Answered:
        answer = httpx.post(f"{llm_url}/chat/completions", json=body, timeout=120, trust_env=False)
        return answer.status_code, answer.json()

    with batch_stub(forward) as stub:
        ran = run(stub.url, ledger, 3)
        assert set(stub.asked.values()) == {1}
    assert ran.statuses["failed"] == 0
    assert len(ran.estimates) == 3
    assert all(value is None or 0 <= value <= 1 for value in ran.estimates.values())
    assert all(row.tokens_in for row in ran.requests)
