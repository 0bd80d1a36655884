from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from synthesis.client import Caller
from synthesis.ledger import Ledger
from synthesis.panel import DEFAULT_ENDPOINT, DEFAULT_PROPOSER, Endpoint, Proposer
from synthesis.progress import Progress
from synthesis.propose import MAX_HYPOTHESIS_CHARACTERS, MAX_TRIES, DropReason, Proposed, Written, propose, select
from synthesis.render import load_prompt
from tests.synthesis.faulty_endpoint import answers, fails, faulty
from warehouse.errors import InputError, ServiceError
from warehouse.records import Premise, Split, premise_id, proposition_id, split_of

TEXTS = (
    "A man in a red jacket is walking his dog along a frozen lake.",
    'The sign said "{closed}", but the door of the bakery stood open.',
    "A waiter drops a tray of glasses in a crowded restaurant.",
)
PROPOSER = Proposer(name="p", endpoint="e", model="m", targets=(0.1, 0.9), per_target=2)


def premise(text: str) -> Premise:
    return Premise(premise_id=premise_id(text), text=text, source="test")


PREMISES = [premise(text) for text in TEXTS]


def run(
    settings: Endpoint, ledger: Path, premises: list[Premise], proposer: Proposer, seen: list[Progress] | None = None
) -> tuple[list[Proposed], int]:
    async def collect() -> tuple[list[Proposed], int]:
        with Ledger.open(ledger) as kept:
            async with Caller([settings], kept, backoff_s=0.01) as caller:
                stream = propose(premises, proposer, caller, on_progress=seen.append if seen is not None else None)
                return [batch async for batch in stream], caller.sent[settings.name]

    return asyncio.run(collect())


def test_the_embedded_model_proposes_distinct_short_statements(llm_url: str, tmp_path: Path) -> None:
    settings = DEFAULT_ENDPOINT.model_copy(update={"base_url": llm_url})
    seen: list[Progress] = []
    batches, sent = run(settings, tmp_path / "l", PREMISES, DEFAULT_PROPOSER, seen)
    propositions = [proposition for batch in batches for proposition in batch.propositions]
    requests = [request for batch in batches for request in batch.requests]
    drops = [drop for batch in batches for drop in batch.drops]
    assert len(propositions) + len(drops) == sum(request.status == "answered" for request in requests)
    assert len(propositions) >= 10
    assert len({proposition.proposition_id for proposition in propositions}) == len(propositions)
    assert {proposition.target_probability for proposition in propositions} == set(DEFAULT_PROPOSER.targets)
    text_of = {each.premise_id: each.text for each in PREMISES}
    made_by = {request.request_id: request for request in requests}
    for each in propositions:
        assert each.proposition_id == proposition_id(text_of[each.premise_id], each.hypothesis)
        assert each.hypothesis != text_of[each.premise_id]
        assert len(each.hypothesis) <= MAX_HYPOTHESIS_CHARACTERS
        assert (each.kind, each.source, each.split) == ("proposed", "smol-proposer", split_of(each.premise_id))
        assert each.request_id is not None
        assert made_by[each.request_id].subject_id == each.premise_id
    assert sent == len(requests) == seen[-1].answered + seen[-1].refused + seen[-1].failed
    assert seen[-1].done == len(PREMISES)

    again, sent_again = run(settings, tmp_path / "l", PREMISES, DEFAULT_PROPOSER)
    assert sent_again == 0
    made_again = {proposition.proposition_id for batch in again for proposition in batch.propositions}
    assert made_again == {proposition.proposition_id for proposition in propositions}


def chosen(*hypotheses: str, per_target: int = 9, split: Split = "train") -> tuple[list[str], Counter[str]]:
    proposer = PROPOSER.model_copy(update={"per_target": per_target})
    written = [Written(0.3, "request", list(hypotheses))]
    propositions, drops = select(PREMISES[0], written, proposer, load_prompt("propose"), split)
    assert len({drop.drop_id for drop in drops}) == len(drops)
    return [each.hypothesis for each in propositions], Counter(drop.reason for drop in drops)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", DropReason.EMPTY),
        (" \n", DropReason.EMPTY),
        (TEXTS[0], DropReason.EQUALS_PREMISE),
        (TEXTS[0].upper().rstrip(".") + " !", DropReason.EQUALS_PREMISE),
        ("the dog is  OLD", DropReason.DUPLICATE),
        ("x" * (MAX_HYPOTHESIS_CHARACTERS + 1), DropReason.TOO_LONG),
        ("Is the dog old?", DropReason.NOT_A_STATEMENT),
        ("...", DropReason.NOT_A_STATEMENT),
        ("The girl has a birthday.", DropReason.COPIED_FROM_PROMPT),
    ],
)
def test_a_hypothesis_that_is_none_is_dropped_with_its_reason(text: str, reason: DropReason) -> None:
    taken, reasons = chosen("The dog is old.", text, "The lake is deep.")
    assert taken == ["The dog is old.", "The lake is deep."]
    assert reasons == {reason: 1, DropReason.WRONG_COUNT: 1}


def test_a_wrong_count_is_a_drop_for_each_hypothesis_too_many_and_one_for_too_few() -> None:
    assert chosen("A b.", "C d.", "E f.", "G h.", per_target=2) == (["A b.", "C d."], {DropReason.WRONG_COUNT: 2})
    assert chosen("A b.", per_target=2) == (["A b."], {DropReason.WRONG_COUNT: 1})
    assert chosen("A b.", "C d.", per_target=2) == (["A b.", "C d."], {})


def test_the_same_hypothesis_at_two_targets_is_taken_once() -> None:
    written = [Written(0.1, "one", ["The dog is old."]), Written(0.9, "two", ["The dog is old!"])]
    proposer = PROPOSER.model_copy(update={"per_target": 1})
    propositions, drops = select(PREMISES[0], written, proposer, load_prompt("propose"), "dev")
    assert [(each.target_probability, each.split) for each in propositions] == [(0.1, "dev")]
    assert [(drop.reason, drop.subject_id) for drop in drops] == [("duplicate", PREMISES[0].premise_id)]


def test_unreadable_replies_are_asked_for_again_and_then_refused(tmp_path: Path) -> None:
    with faulty(answers("I cannot do that.")) as server:
        settings = Endpoint(name="e", base_url=server.url)
        batches, sent = run(settings, tmp_path / "l", PREMISES[:1], PROPOSER)
        assert sent == MAX_TRIES * len(PROPOSER.targets)
        assert run(settings, tmp_path / "l", PREMISES[:1], PROPOSER)[1] == 0
    requests = batches[0].requests
    assert {(request.status, request.reason) for request in requests} == {("refused", "not_json")}
    assert len({request.request_id for request in requests}) == len(requests)
    assert len({body["seed"] for body in server.bodies}) == sent
    assert batches[0].propositions == []


def test_a_rejected_premise_fails_and_is_counted(tmp_path: Path) -> None:
    with faulty(fails(400, "too long")) as server:
        batches, _ = run(Endpoint(name="e", base_url=server.url), tmp_path / "l", PREMISES[:1], PROPOSER)
    assert [request.status for request in batches[0].requests] == ["failed", "failed"]
    assert batches[0].requests[0].reason == "rejected: HTTP 400 too long"


def test_what_was_proposed_before_the_endpoint_died_is_handed_on(tmp_path: Path) -> None:
    proposer = PROPOSER.model_copy(update={"targets": (0.5,)})
    reply = json.dumps({"hypotheses": ["The dog is old.", "The lake is deep."]})
    taken: list[Proposed] = []

    async def collect(url: str) -> None:
        settings = Endpoint(name="e", base_url=url, max_in_flight=1)
        with Ledger.open(tmp_path / "l") as kept:
            async with Caller([settings], kept) as caller:
                async for batch in propose(PREMISES, proposer, caller):
                    taken.extend([batch])

    with faulty(answers(reply), fails(401)) as server, pytest.raises(ServiceError):
        asyncio.run(collect(server.url))
    assert [each.hypothesis for each in taken[0].propositions] == ["The dog is old.", "The lake is deep."]


def test_a_prompt_that_asks_for_something_else_is_refused(tmp_path: Path) -> None:
    proposer = PROPOSER.model_copy(update={"prompt": "token"})
    with pytest.raises(InputError, match="not hypotheses"):
        run(Endpoint(name="e", base_url="http://127.0.0.1:9"), tmp_path / "l", PREMISES, proposer)
