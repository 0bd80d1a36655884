from __future__ import annotations

import asyncio
import math
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from synthesis.client import Caller
from synthesis.elicit import BATCH, MAX_TRIES, Elicited, elicit, mean_of
from synthesis.ledger import Ledger
from synthesis.panel import DEFAULT_ENDPOINT, DEFAULT_PANEL, Endpoint, Labeler, labeler_version
from synthesis.parse import Parsed, Reason
from synthesis.progress import Progress
from synthesis.render import load_prompt
from tests.synthesis.faulty_endpoint import answers, fails, faulty, refuses_text
from warehouse.errors import InputError, ServiceError
from warehouse.records import PropositionText, content_id, proposition_id

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


def run(
    settings: Endpoint,
    ledger: Path,
    propositions: Iterable[PropositionText],
    labeler: Labeler,
    seen: list[Progress] | None = None,
) -> tuple[Elicited, int]:
    """All batches as one, and the number of HTTP requests that were sent."""

    async def collect() -> tuple[Elicited, int]:
        whole = Elicited([], [])
        with Ledger.open(ledger) as kept:
            async with Caller([settings], kept, backoff_s=0.01) as caller:
                report = seen.append if seen is not None else None
                async for batch in elicit(propositions, labeler, caller, report):
                    assert len(batch.estimates) <= BATCH
                    whole.estimates.extend(batch.estimates)
                    whole.requests.extend(batch.requests)
                return whole, caller.sent[settings.name]

    return asyncio.run(collect())


@pytest.mark.parametrize("labeler", DEFAULT_PANEL, ids=lambda labeler: labeler.name)
def test_the_embedded_model_estimates_and_is_not_asked_twice(llm_url: str, tmp_path: Path, labeler: Labeler) -> None:
    settings = DEFAULT_ENDPOINT.model_copy(update={"base_url": llm_url})
    seen: list[Progress] = []
    made, sent = run(settings, tmp_path / "l", PROPOSITIONS, labeler, seen)
    assert {each.proposition_id for each in made.estimates} == {each.proposition_id for each in PROPOSITIONS}
    assert len(made.estimates) == len(PROPOSITIONS)
    read = [each.probability for each in made.estimates if each.probability is not None]
    assert len(read) >= 5
    assert len(set(read)) >= 3
    statuses = Counter(request.status for request in made.requests)
    last = seen[-1]
    assert (last.done, last.answered, last.refused, last.failed) == (
        len(PROPOSITIONS),
        statuses["answered"],
        statuses["refused"],
        0,
    )
    assert sent == len(made.requests) == statuses.total()
    of_request = {request.request_id: request for request in made.requests}
    for each in made.estimates:
        version = labeler_version(labeler, load_prompt(labeler.prompt))
        assert each.estimate_id == content_id("estimate", each.proposition_id, labeler.name, version)
        assert each.request_id is not None
        assert of_request[each.request_id].subject_id == each.proposition_id
        assert (of_request[each.request_id].status == "answered") == (each.probability is not None)
        assert of_request[each.request_id].cost == 0.0

    again, sent_again = run(settings, tmp_path / "l", PROPOSITIONS, labeler)
    assert sent_again == 0
    assert all(request.cached for request in again.requests)
    key = {each.estimate_id: each.probability for each in made.estimates}
    assert {each.estimate_id: each.probability for each in again.estimates} == key


def test_the_embedded_model_gives_a_mean_of_samples(llm_url: str, tmp_path: Path) -> None:
    settings = DEFAULT_ENDPOINT.model_copy(update={"base_url": llm_url})
    scale = DEFAULT_PANEL[1].model_dump() | {"name": "mean", "method": "mean_of_samples", "samples": 4}
    made, sent = run(settings, tmp_path / "l", PROPOSITIONS[:2], Labeler.model_validate(scale))
    assert sent == len(made.requests) == 8
    assert [each.probability is not None for each in made.estimates] == [True, True]
    assert [each.request_id for each in made.estimates] == [None, None]


def test_an_unreadable_reply_is_asked_for_again_and_then_kept_with_its_reason(tmp_path: Path) -> None:
    with faulty(answers("about 70%")) as server:
        settings = Endpoint(name="e", base_url=server.url)
        made, sent = run(settings, tmp_path / "l", PROPOSITIONS[:1], VERBALISED)
        assert sent == MAX_TRIES
        assert run(settings, tmp_path / "l", PROPOSITIONS[:1], VERBALISED)[1] == 0
    assert [(each.probability, each.reason) for each in made.estimates] == [(None, "ambiguous")]
    assert [request.status for request in made.requests] == ["refused"] * MAX_TRIES
    assert {request.reply for request in made.requests} == {"about 70%"}
    assert len({body["seed"] for body in server.bodies}) == MAX_TRIES
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.3, 0.6]


def test_a_second_try_can_be_read(tmp_path: Path) -> None:
    with faulty(answers("perhaps"), answers('{"reasoning": "r", "probability": 0.25}')) as server:
        made, _ = run(Endpoint(name="e", base_url=server.url), tmp_path / "l", PROPOSITIONS[:1], VERBALISED)
    assert [(each.probability, each.reason, each.reasoning) for each in made.estimates] == [(0.25, None, "r")]
    assert [request.status for request in made.requests] == ["refused", "answered"]
    assert made.estimates[0].request_id == made.requests[1].request_id


def test_each_proposition_has_a_seed_of_its_own_that_stays(tmp_path: Path) -> None:
    with faulty(answers('{"probability": 0.5}')) as server:
        for ledger in ("one", "two"):
            run(Endpoint(name="e", base_url=server.url), tmp_path / ledger, PROPOSITIONS, VERBALISED)
    seeds = [body["seed"] for body in server.bodies]
    half = len(PROPOSITIONS)
    assert len(set(seeds)) == half
    assert sorted(seeds[:half]) == sorted(seeds[half:])


def test_a_token_labeler_reads_the_first_token_and_asks_once(tmp_path: Path) -> None:
    labeler = DEFAULT_PANEL[2].model_copy(update={"endpoint": "e"})
    with faulty(answers("Yes", logprob=-1.0), answers("Perhaps")) as server:
        settings = Endpoint(name="e", base_url=server.url, max_in_flight=1)
        made, sent = run(settings, tmp_path / "l", PROPOSITIONS[:2], labeler)
    assert sent == 2
    yes, no = math.exp(-1.0), math.exp(-2.0)
    probabilities = sorted((each.probability or 0.0, each.reason) for each in made.estimates)
    assert probabilities == [(0.0, "no_logprobs"), (pytest.approx(yes / (yes + no)), None)]


def test_a_rejected_proposition_has_a_row_and_no_estimate(tmp_path: Path) -> None:
    with faulty(refuses_text("asleep", 400, '{"probability": 0.5}')) as server:
        made, _ = run(Endpoint(name="e", base_url=server.url), tmp_path / "l", PROPOSITIONS, VERBALISED)
    assert len(made.estimates) == len(PROPOSITIONS) - 1
    failed = [request for request in made.requests if request.status == "failed"]
    assert [request.subject_id for request in failed] == [PROPOSITIONS[1].proposition_id]
    assert failed[0].reason == "rejected: HTTP 400 cannot take asleep"


def test_an_endpoint_that_dies_leaves_what_was_done(tmp_path: Path) -> None:
    done: list[Elicited] = []

    async def collect(url: str) -> None:
        with Ledger.open(tmp_path / "l") as kept:
            settings = Endpoint(name="e", base_url=url, max_in_flight=1, max_attempts=2)
            async with Caller([settings], kept, backoff_s=0.01) as caller:
                async for batch in elicit(PROPOSITIONS, VERBALISED, caller):
                    done.extend([batch])

    reply = answers('{"probability": 0.5}')
    with faulty(reply, reply, fails(401)) as server, pytest.raises(ServiceError, match="refuses access"):
        asyncio.run(collect(server.url))
    assert [each.probability for batch in done for each in batch.estimates] == [0.5, 0.5]


def test_the_mean_needs_half_of_the_samples() -> None:
    read, unread = Parsed(0.2, None), Parsed(None, Reason.EMPTY)
    assert mean_of([read, Parsed(0.6, None), unread, unread]).probability == pytest.approx(0.4)
    assert mean_of([read, unread, unread]) == Parsed(None, Reason.TOO_FEW_SAMPLES)
    assert mean_of([unread]) == Parsed(None, Reason.TOO_FEW_SAMPLES)


def test_a_prompt_and_a_method_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    labeler = VERBALISED.model_copy(update={"prompt": "token"})
    with pytest.raises(InputError, match="reads probability"):
        run(Endpoint(name="e", base_url="http://127.0.0.1:9"), tmp_path / "l", PROPOSITIONS, labeler)


def test_memory_does_not_grow_with_the_propositions(tmp_path: Path) -> None:
    premise = "A long premise. " * 500

    def many(count: int) -> Iterator[PropositionText]:
        return (proposition(premise, f"Hypothesis {number}.") for number in range(count))

    async def peak(url: str, count: int) -> int:
        tracemalloc.start()
        with Ledger.open(tmp_path / f"{count}") as kept:
            async with Caller([Endpoint(name="e", base_url=url)], kept) as caller:
                async for batch in elicit(many(count), VERBALISED, caller):
                    assert batch.estimates
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # The server runs in this process, so that what it keeps of each request is thrown away.
    with faulty(answers('{"probability": 0.5}')) as server:
        server.bodies, server.headers = _Forgetful(), _Forgetful()
        small, large = (asyncio.run(peak(server.url, count)) for count in (150, 400))
    assert large < 1.5 * small


class _Forgetful(list):  # type: ignore[type-arg]
    def append(self, item: object) -> None:
        self[:] = [item]
