"""The versions of those who are asked: what moves them, and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synthesis.panel.defaults import DEFAULT_PANEL, DEFAULT_PROPOSER
from synthesis.panel.settings import Labeler, MadeKind, Proposer
from synthesis.panel.versions import labeler_row, labeler_version, proposer_version
from synthesis.prompts.render import load_prompt
from synthesis.questions.dedup import KnownHypotheses
from synthesis.questions.drops import DropReason
from synthesis.questions.propose import Written, select
from warehouse.records import Premise, labeler_id, premise_id, proposition_id

PROPOSER = Proposer(name="p", endpoint="e", model="m")


def version(change: dict[str, Any], kind: MadeKind = "proposed", prompt: str = "propose") -> str:
    return proposer_version(PROPOSER.model_copy(update=change), kind, load_prompt(prompt))


@pytest.mark.parametrize(
    ("kind", "prompt", "changes"),
    [
        ("proposed", "propose", [{"targets": (0.05, *PROPOSER.targets)}, {"targets": (0.1,)}, {"per_target": 3}]),
        ("strengthened", "strengthen", [{"per_proposition": 3}]),
        ("negation", "negate", []),
    ],
)
def test_a_proposer_has_a_version_a_kind_that_moves_with_what_is_asked(
    kind: MadeKind, prompt: str, changes: list[dict[str, Any]]
) -> None:
    sampling: list[dict[str, Any]] = [
        {}, {"model": "n"}, {"temperature": 0.9}, {"max_tokens": 9}, {"seed": 7}, {"omit": ("seed",)},
        {"extra": {"top_p": 0.5}},
    ]  # fmt: skip
    found = [version(change, kind, prompt) for change in [*sampling, *changes]]
    assert len(set(found)) == len(found)


def test_a_version_of_a_proposer_does_not_move_with_what_is_not_sent() -> None:
    still: list[dict[str, Any]] = [
        {"name": "q"}, {"endpoint": "f"}, {"price_in": 1.0}, {"max_in_flight": 2}, {"requests_per_minute": 3},
        {"near_duplicates": 0.1}, {"per_proposition": 5}, {"kinds": ("proposed", "negation")},
        {"targets": tuple(reversed(PROPOSER.targets))},
    ]  # fmt: skip
    assert {version(change) for change in still} == {version({})}
    # What a single text is asked for, and hypotheses' targets, are nothing to a negation.
    assert {version(change, "negation", "negate") for change in ({"per_proposition": 5}, {"targets": (0.1,)})} == {
        version({}, "negation", "negate")
    }


def test_two_kinds_with_one_prompt_are_two_versions() -> None:
    assert version({}, "strengthened", "strengthen") != version({}, "weakened", "strengthen")


def test_the_versions_of_the_default_proposer_stay() -> None:
    """Another one here asks about every premise of every warehouse again, though the ledger pays."""
    assert proposer_version(DEFAULT_PROPOSER, "proposed", load_prompt("propose")) == "842e89aa892c39404215e804"


def test_a_row_says_what_a_version_stands_for() -> None:
    labeler = DEFAULT_PANEL[0].model_copy(update={"extra": {"top_p": 0.5}})
    row = labeler_row(labeler)
    prompt = load_prompt(labeler.prompt)
    assert row.labeler_version == labeler_version(labeler, prompt)
    assert row.labeler_id == labeler_id(labeler.name, row.labeler_version)
    assert (row.endpoint, row.model, row.prompt) == (labeler.endpoint, labeler.model, prompt.name)
    assert (row.prompt_version, row.method, row.in_use) == (prompt.revision, labeler.method, True)
    assert json.loads(row.parameters or "") == {
        "temperature": 0.7, "max_tokens": 64, "seed": 1, "extra": {"top_p": 0.5}
    }  # fmt: skip
    sampled = Labeler(
        name="s", endpoint="e", model="m", prompt="scale20", method="mean_of_samples", samples=5, temperature=1.0
    )
    assert json.loads(labeler_row(sampled).parameters or "")["samples"] == 5
    pairs = Labeler(name="s", endpoint="e", model="m", prompt="compare", method="pairwise", compared_with=4)
    assert json.loads(labeler_row(pairs).parameters or "")["compared_with"] == 4


def test_a_reply_that_comes_again_is_no_duplicate_of_itself() -> None:
    text = "It rains."
    premise = Premise(premise_id=premise_id(text), text=text, source="test")
    mine, other = "The street is wet.", "There is a parade."
    ids = {each: proposition_id(text, each) for each in (mine, other)}

    def chosen(*written: Written) -> tuple[list[str], list[tuple[str, str | None]]]:
        propositions, drops = select(
            premise,
            written,
            PROPOSER.model_copy(update={"per_target": 2, "near_duplicates": 0.0}),
            split="train",
            shown=frozenset(),
            known=KnownHypotheses({ids[each]: each for each in ids}, 0.0),
            written_by={ids[mine]: "r", ids[other]: "another"},
        )
        return [each.hypothesis for each in propositions], [(drop.reason, drop.kept_id) for drop in drops]

    assert chosen(Written(0.9, "r", [mine, "It is cold."])) == (["It is cold."], [])
    # The same words a second time, in another request, and what another request wrote, are duplicates still.
    again = (DropReason.DUPLICATE, ids[mine])
    assert chosen(Written(0.9, "r", [mine, mine])) == ([], [again])
    assert chosen(Written(0.9, "r", [mine, "the street is WET"])) == ([], [again])
    assert chosen(Written(0.9, "s", [mine, "It is cold."])) == (["It is cold."], [again])
    assert chosen(Written(0.9, "r", [mine, other])) == ([], [(DropReason.DUPLICATE, ids[other])])
