from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest

from synthesis.ledger.ledger import Ledger
from synthesis.llm.client import Caller
from synthesis.llm.endpoint_client import EndpointClient
from synthesis.panel.defaults import DEFAULT_ENDPOINT, DEFAULT_PANEL
from synthesis.panel.settings import Endpoint, Labeler
from synthesis.panel.versions import labeler_version
from synthesis.prompts.render import load_prompt
from synthesis.questions.elicit import estimates
from synthesis.questions.question import MAX_TRIES
from synthesis.run import CHUNK, run_questions
from tests.synthesis.faulty_endpoint import (
    Fault,
    answers,
    at_most,
    breaks_off,
    by_model,
    by_text,
    drips,
    fails,
    faulty,
    hangs,
    refuses_text,
    sends,
)
from warehouse.errors import ServiceError
from warehouse.records import Estimate, PropositionText, Record, Request, content_id, proposition_id

VERBALISED = Labeler(name="v", endpoint="e", model="m", prompt="verbalised", method="verbalised", seed=5)
PAIRS = (
    ("A man in a red jacket is walking his dog along a frozen lake.", "The man is outdoors."),
    ("A man in a red jacket is walking his dog along a frozen lake.", "The man is asleep."),
    ('The sign said "{closed}", but the door of the bakery stood open.', "The baker forgot to lock the door."),
    ("A waiter drops a tray of glasses in a crowded restaurant.", "Some of the glasses break."),
    ("A waiter drops a tray of glasses in a crowded restaurant.", "The restaurant is empty."),
    ("The ferry was cancelled this morning because of strong winds.", "It sails again in the evening."),
)


def proposition(premise: str, hypothesis: str) -> PropositionText:
    return PropositionText(proposition_id=proposition_id(premise, hypothesis), premise=premise, hypothesis=hypothesis)


PROPOSITIONS = [proposition(*pair) for pair in PAIRS]


def numbered(count: int) -> list[PropositionText]:
    return [proposition(f"Premise {number}.", f"Hypothesis {number}.") for number in range(count)]


def run(
    settings: Endpoint,
    ledger: Path,
    propositions: Iterable[PropositionText],
    labeler: Labeler = VERBALISED,
    stop_after: int | None = None,
) -> tuple[list[Estimate], list[Request], int]:
    """The estimates, the requests, and the number of HTTP requests that were sent."""

    async def collect() -> list[Record]:
        rows: list[Record] = []
        with Ledger.open(ledger) as kept:
            async with Caller([settings], kept, [labeler], backoff_s=0.01) as caller:
                async for done in run_questions(estimates(propositions, labeler), caller, 3 * settings.max_in_flight):
                    rows.extend(row for answer in done for row in answer.rows)
                    if stop_after is not None and len(rows) >= stop_after:
                        caller.stop.set("enough")
                return rows

    with patch.object(EndpointClient, "_post", autospec=True, side_effect=EndpointClient._post) as post:
        rows = asyncio.run(collect())
    return (
        [row for row in rows if isinstance(row, Estimate)],
        [row for row in rows if isinstance(row, Request)],
        post.call_count,
    )


@pytest.mark.slow
@pytest.mark.parametrize("labeler", DEFAULT_PANEL, ids=lambda labeler: labeler.name)
def test_the_embedded_model_estimates_and_is_not_asked_twice(llm_url: str, tmp_path: Path, labeler: Labeler) -> None:
    settings = DEFAULT_ENDPOINT.model_copy(update={"base_url": llm_url})
    made, requests, sent = run(settings, tmp_path / "l", PROPOSITIONS, labeler)
    assert {each.proposition_id for each in made} == {each.proposition_id for each in PROPOSITIONS}
    assert len(made) == len(PROPOSITIONS)
    read = [each.probability for each in made if each.probability is not None]
    assert len(read) >= 5
    assert len(set(read)) >= 3
    assert sent == len(requests)
    of_request = {request.request_id: request for request in requests}
    version = labeler_version(labeler, load_prompt(labeler.prompt))
    for each in made:
        assert each.estimate_id == content_id("estimate", each.proposition_id, labeler.name, version)
        assert each.request_id is not None
        assert of_request[each.request_id].subject_id == each.proposition_id
        assert (of_request[each.request_id].status == "answered") == (each.probability is not None)
        assert of_request[each.request_id].cost == 0.0

    again, rows, sent_again = run(settings, tmp_path / "l", PROPOSITIONS, labeler)
    assert sent_again == 0
    assert {row.request_id: row.cost for row in rows} == {row.request_id: row.cost for row in requests}
    assert {each.estimate_id: each.probability for each in again} == {
        each.estimate_id: each.probability for each in made
    }


def test_the_embedded_model_gives_a_mean_of_samples(llm_url: str, tmp_path: Path) -> None:
    settings = DEFAULT_ENDPOINT.model_copy(update={"base_url": llm_url})
    scale = DEFAULT_PANEL[1].model_dump(exclude={"compared_with"}) | {"method": "mean_of_samples", "samples": 4}
    made, requests, sent = run(settings, tmp_path / "l", PROPOSITIONS[:2], Labeler.model_validate(scale))
    assert sent == len(requests) == 8
    assert [each.probability is not None for each in made] == [True, True]
    assert [each.request_id for each in made] == [None, None]


GOOD = answers('{"reasoning": "r", "probability": 0.25}')
ODD_REPLIES: dict[str, Fault] = {
    "empty choices": sends(b'{"choices": []}'),
    "truncated JSON": answers('{"reasoning": "it may be 0.8", "prob'),
    "NaN": answers('{"reasoning": "r", "probability": NaN}'),
    "about": answers("about 70%"),
    "two": answers("0.5 or 0.6"),
    "odds": answers("3:1"),
    "odds in words": answers("3 to 1"),
    "out of range": answers('{"reasoning": "r", "probability": 70}'),
    "negative": answers("-0.2"),
    "another language": answers("Die Wahrscheinlichkeit ist hoch, etwa siebzig Prozent."),
    "a refusal": answers("I cannot answer that."),
    "nothing": answers(""),
    "no text": answers(None),
}
PASSING_FAULTS: dict[str, Fault] = {
    "hangs": hangs(3.0),
    "drips": drips(3.0),
    "reset in the body": breaks_off(),
    "429": fails(429, retry_after="0.05"),
    "500": fails(500),
    "503": fails(503),
    "no JSON": sends(b"<html>", "text/html"),
}


def test_whatever_an_endpoint_does_everything_is_accounted_for_and_nothing_is_guessed(tmp_path: Path) -> None:
    """Each proposition meets a fault of its own; those that pass do so after one time."""
    known = {"plain percent": (answers("70%"), 0.7), "good": (GOOD, 0.25)}
    faults: dict[str, Fault] = {}
    expected: dict[str, float | None] = {}
    for repeat in range(3):
        for name, fault in {**ODD_REPLIES, **PASSING_FAULTS}.items():
            faults[f"{name} {repeat}."] = fault
            expected[f"{name} {repeat}."] = None if name in ODD_REPLIES else 0.25
        for name, (fault, value) in known.items():
            faults[f"{name} {repeat}."] = fault
            expected[f"{name} {repeat}."] = value
    asked = {proposition("A premise.", text).proposition_id: text for text in faults}
    passing = {text for text in faults if text[:-3] in PASSING_FAULTS}
    order = sorted(asked.values(), key=lambda text: content_id("order", text))
    with faulty(by_text(faults, once=passing, otherwise=GOOD)) as server:
        settings = Endpoint(name="e", base_url=server.url, timeout_s=1.5, max_attempts=6, max_in_flight=8)
        made, requests, sent = run(settings, tmp_path / "l", [proposition("A premise.", text) for text in order])
    assert {asked[each.proposition_id]: each.probability for each in made} == expected
    assert all((each.reason is None) == (each.probability is not None) for each in made)
    statuses = Counter(request.status for request in requests)
    # What the server counted: each request has its row, and each fault that passes took one attempt more.
    assert sent == server.requests == len(requests) + len(passing)
    assert statuses["answered"] == sum(value is not None for value in expected.values())
    assert statuses["refused"] == MAX_TRIES * 3 * len(ODD_REPLIES)
    assert statuses["failed"] == 0


def test_a_storm_of_429_is_weathered_and_the_wish_for_a_pause_kept(tmp_path: Path) -> None:
    storm = [fails(429, retry_after="1")] * 8
    with faulty(*storm, GOOD) as server:
        settings = Endpoint(name="e", base_url=server.url, max_attempts=5, max_in_flight=8)
        began = time.monotonic()
        made, requests, sent = run(settings, tmp_path / "l", numbered(40))
    assert time.monotonic() - began >= 1.0
    assert len(made) == len(requests) == 40
    # All eight may be on the way before the first wish is heard; nobody asks again before its end.
    assert sent == 48


@pytest.mark.parametrize("header", [{}, {"retry_after": "0.4"}], ids=["no wish", "a wish"])
@pytest.mark.parametrize("in_flight", [4, 64])
def test_an_endpoint_that_allows_little_is_asked_as_fast_as_it_allows(
    tmp_path: Path, header: dict[str, str], in_flight: int
) -> None:
    """With the default attempts, of which a storm of 429 would take more than there are."""
    with faulty(at_most(10, 0.4, GOOD, **header)) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=in_flight)
        began = time.monotonic()
        made, requests, _ = run(settings, tmp_path / "l", numbered(80))
        took = time.monotonic() - began
    assert len(made) == len(requests) == 80
    assert 2.8 <= took < 15
    assert server.requests < 80 + 3 * 64 + 80


@pytest.mark.parametrize("end", [fails(429, retry_after="300"), fails(401)], ids=["429", "401"])
def test_what_is_under_way_when_its_endpoint_ends_is_kept(tmp_path: Path, end: Fault) -> None:
    slow = answers('{"probability": 0.5}', after_s=0.5)
    with faulty(*[slow] * 9, end, slow) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=16)
        with pytest.raises(ServiceError):
            run(settings, tmp_path / "l", numbered(60))
        # Nothing new is sent, and what was answered is there.
        assert server.requests == 16
        assert _rows_of(tmp_path / "l") == 15
        made, _, sent = run(settings, tmp_path / "l", numbered(16))
    assert (len(made), sent) == (16, 1)


def test_what_waits_for_a_limit_ends_at_once_with_its_endpoint(tmp_path: Path) -> None:
    with faulty(GOOD, GOOD, fails(401)) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=16, requests_per_minute=4)
        began = time.monotonic()
        with pytest.raises(ServiceError, match="refuses access"):
            run(settings, tmp_path / "l", numbered(60))
    assert time.monotonic() - began < 5
    assert _rows_of(tmp_path / "l") == 2


def test_an_unknown_model_leaves_out_its_own_questions_alone(tmp_path: Path) -> None:
    wrong = VERBALISED.model_copy(update={"name": "w", "model": "wrong"})
    rows: list[Record] = []

    async def collect(url: str) -> None:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([Endpoint(name="e", base_url=url)], kept) as caller:
                questions = chain(estimates(numbered(30), wrong), estimates(numbered(30), VERBALISED))
                async for answered in run_questions(questions, caller, 16):
                    rows.extend(row for answer in answered for row in answer.rows)

    with (
        faulty(by_model({"wrong": fails(404), "m": GOOD})) as server,
        pytest.raises(ServiceError, match=r"^endpoint e at .* does not know the model wrong") as raised,
    ):
        asyncio.run(collect(server.url))
    assert str(raised.value).count("wrong") == 1
    assert len([row for row in rows if isinstance(row, Estimate)]) == 30
    # Those that were on the way together, and none of the others.
    assert sum(body["model"] == "wrong" for body in server.bodies) <= 8


def _rows_of(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    return int(count)


def test_a_rejected_proposition_has_a_row_and_no_estimate(tmp_path: Path) -> None:
    with faulty(refuses_text("asleep", 400, '{"probability": 0.5}')) as server:
        made, requests, _ = run(Endpoint(name="e", base_url=server.url), tmp_path / "l", PROPOSITIONS)
    assert len(made) == len(PROPOSITIONS) - 1
    failed = [request for request in requests if request.status == "failed"]
    assert [request.subject_id for request in failed] == [PROPOSITIONS[1].proposition_id]
    assert failed[0].reason == "rejected: HTTP 400 cannot take asleep"


def test_an_endpoint_that_refuses_the_key_leaves_what_was_done(tmp_path: Path) -> None:
    done: list[Record] = []

    async def collect(url: str) -> None:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([Endpoint(name="e", base_url=url, max_in_flight=1)], kept, backoff_s=0.01) as caller:
                async for answered in run_questions(estimates(PROPOSITIONS, VERBALISED), caller, 1):
                    done.extend(row for answer in answered for row in answer.rows if isinstance(row, Estimate))

    with faulty(GOOD, GOOD, fails(401)) as server, pytest.raises(ServiceError, match="refuses access"):
        asyncio.run(collect(server.url))
    assert len(done) == 2


def test_a_run_that_is_stopped_finishes_what_is_under_way_and_the_next_goes_on(tmp_path: Path) -> None:
    with faulty(answers('{"probability": 0.5}', after_s=0.05)) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=4)
        made, _, sent = run(settings, tmp_path / "l", numbered(60), stop_after=20)
        assert 10 <= len(made) <= 30
        assert sent == server.requests == len(made)
        rest, _, sent_later = run(settings, tmp_path / "l", numbered(60))
    assert len(rest) == 60
    assert sent + sent_later == 60


def test_what_is_under_way_when_the_questions_break_off_is_finished(tmp_path: Path) -> None:
    def propositions() -> Iterator[PropositionText]:
        yield from numbered(CHUNK)
        raise ServiceError("the warehouse went away")

    done: list[Record] = []

    async def collect(url: str) -> None:
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([Endpoint(name="e", base_url=url, max_in_flight=8)], kept) as caller:
                async for answered in run_questions(estimates(propositions(), VERBALISED), caller, 16):
                    done.extend(row for answer in answered for row in answer.rows if isinstance(row, Estimate))

    with (
        faulty(answers('{"probability": 0.5}', after_s=0.02)) as server,
        pytest.raises(ServiceError, match="went away"),
    ):
        asyncio.run(collect(server.url))
    assert server.requests == CHUNK
    assert len(done) == CHUNK


def test_another_labeler_with_the_same_request_pays_nothing(tmp_path: Path) -> None:
    twin = VERBALISED.model_copy(update={"name": "twin"})
    with faulty(answers('{"probability": 0.5}')) as server:
        settings = Endpoint(name="e", base_url=server.url, price_in=1.0, price_out=1.0)
        _, requests, _ = run(settings, tmp_path / "l", PROPOSITIONS)
        _, of_twin, sent = run(settings, tmp_path / "l", PROPOSITIONS, twin)
        _, again, _ = run(settings, tmp_path / "l", PROPOSITIONS)
    assert sent == 0
    assert [row.cost for row in requests] == [pytest.approx(15 / 1e6)] * len(PROPOSITIONS)
    assert {(row.cost, row.cached) for row in of_twin} == {(None, True)}
    assert {row.request_id: row.cost for row in again} == {row.request_id: row.cost for row in requests}


CHILD = """
import sys
from pathlib import Path
from synthesis.panel.settings import Endpoint
from tests.synthesis.test_run import numbered, run
run(Endpoint(name="e", base_url=sys.argv[1], max_in_flight=8), Path(sys.argv[2]), numbered(200))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_repeats_no_request_whose_reply_was_kept(tmp_path: Path, seed: int) -> None:
    ledger = tmp_path / "l"
    with faulty(answers('{"probability": 0.5}', after_s=0.02)) as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(ledger)], cwd=Path(__file__).parents[2])
        while server.requests < 20:
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0.0, 0.2))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        before = server.requests
        kept = asyncio.run(_kept(ledger))
        assert 0 < len(kept) < 200
        server.bodies.clear()
        made, _, _ = run(Endpoint(name="e", base_url=server.url, max_in_flight=8), ledger, numbered(200))
        asked_again = {body["seed"] for body in server.bodies}
    assert len(made) == 200
    assert not asked_again & kept
    # Only what was in flight when it died, and as many replies that were not on disk yet, is asked twice.
    assert before + len(server.bodies) <= 200 + 8 + 8


async def _kept(ledger: Path) -> set[int]:
    """The seeds of the calls, each of which has its own, whose replies the ledger holds."""
    calls = [next(question)[0] for question in estimates(numbered(200), VERBALISED)]
    with Ledger.open(ledger) as opened:
        found = await opened.recall(calls)
    return {call.seed for call in calls if call.key in found and call.seed is not None}


def test_a_full_ledger_answers_in_chunks_in_the_order_of_the_questions(tmp_path: Path) -> None:
    with faulty(answers('{"probability": 0.5}')) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=32)
        propositions = numbered(CHUNK + 50)
        run(settings, tmp_path / "l", propositions)
        made, requests, sent = run(settings, tmp_path / "l", propositions)
    assert sent == 0
    assert [each.proposition_id for each in made] == [each.proposition_id for each in propositions]
    assert len(requests) == len(propositions)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_propositions(tmp_path: Path) -> None:
    premise = "A long premise. " * 500

    def many(count: int) -> Iterator[PropositionText]:
        return (proposition(premise, f"Hypothesis {number}.") for number in range(count))

    async def peak(url: str, count: int) -> int:
        tracemalloc.start()
        with Ledger.open(tmp_path / f"{count}") as kept:
            async with Caller([Endpoint(name="e", base_url=url)], kept) as caller:
                async for done in run_questions(estimates(many(count), VERBALISED), caller, 16):
                    assert done
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # The server runs in this process, so that what it keeps of each request is thrown away.
    with faulty(answers('{"probability": 0.5}')) as server:
        server.bodies, server.headers = _Forgetful(), _Forgetful()
        small, large = (asyncio.run(peak(server.url, count)) for count in (CHUNK, 2 * CHUNK + 200))
    assert large < 1.5 * small


class _Forgetful(list):  # type: ignore[type-arg]
    def append(self, item: object) -> None:
        self[:] = [item]


def test_the_body_that_is_sent_is_what_the_key_stands_for(tmp_path: Path) -> None:
    with faulty(GOOD) as server:
        run(Endpoint(name="e", base_url=server.url), tmp_path / "l", PROPOSITIONS[:1])
    (call,) = next(next(estimates(PROPOSITIONS[:1], VERBALISED)))
    assert server.bodies == [json.loads(json.dumps(call.body(structured=True)))]
