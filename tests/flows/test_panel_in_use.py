"""The panel is the one in the settings: labelers that come, go and come back; stub servers, no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.elicit import elicit, jobs
from flows.judge import judge
from flows.llm_runs.dry_run import plan_table
from flows.propose import propose
from flows.settings.settings import load_settings
from synthesis.prompts.render import load_prompt
from tests.fixtures.llm_runs import endpoint, install, labeler, others, rows, settings_file, value
from tests.synthesis.faulty_endpoint import answers, faulty
from warehouse.errors import InputError

TEXTS = ["The street is wet.", "There is a parade."]
SNAPSHOT = "SELECT max(snapshot_id) FROM odds.snapshots()"
PROMPT = """
name = "mine"
version = 1
description = "A prompt of a test."
answer = "probability"
system = "{system}"
user = "{{premise}} {{hypothesis}}"
"""


def says_by_prompt(handler: object) -> None:
    """What is answered tells which labeler and prompt it was."""
    body = handler.body  # type: ignore[attr-defined]
    known = {"First text.": 0.25, "Second text.": 0.75}
    answers(json.dumps({"reasoning": "r", "probability": known.get(body["messages"][0]["content"], 0.5)}))(handler)  # type: ignore[arg-type]


def panel(config: Path) -> dict[str, float]:
    """The values of the panel for the first text."""
    (row,) = rows(
        config,
        'SELECT d.labelers, d."values" FROM panel_distribution d JOIN propositions USING (proposition_id) '
        f"WHERE hypothesis = '{TEXTS[0]}'",
    )
    return dict(zip(row["labelers"], row["values"], strict=True))


@pytest.mark.slow
def test_labelers_come_and_go_with_the_settings(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(PROMPT.format(system="First text."))
    with faulty(says_by_prompt) as server:
        a, b = labeler("a", "e", prompt="mine.toml"), labeler("b", "e")
        rest = (endpoint("e", server), others("e"))
        config = install(tmp_path, *rest, a, b, hypotheses=TEXTS)
        elicit.fn(config)
        assert panel(config) == {"a": 0.25, "b": 0.5}
        # Nothing new: nothing is written.
        snapshot = value(config, SNAPSHOT)
        assert elicit.fn(config).counts == {"requests": 0}
        assert value(config, SNAPSHOT) == snapshot
        # One goes: it leaves the panel, though nothing is to be asked.
        settings_file(tmp_path, *rest, a)
        assert elicit.fn(config).counts == {"requests": 0}
        assert panel(config) == {"a": 0.25}
        # Its prompt changes, and back again: the earlier answers are there, and count again.
        mine.write_text(PROMPT.format(system="Second text."))
        assert elicit.fn(config).counts["estimates"] == 2
        assert panel(config) == {"a": 0.75}
        mine.write_text(PROMPT.format(system="First text."))
        assert elicit.fn(config).counts == {"requests": 0}
        assert panel(config) == {"a": 0.25}
        settings_file(tmp_path, *rest, a, b)
        assert elicit.fn(config).counts == {"requests": 0}
        assert panel(config) == {"a": 0.25, "b": 0.5}
        assert server.requests == 6
    told = rows(config, "SELECT * FROM labelers ORDER BY labeler, in_use")
    assert [(row["labeler"], row["prompt"], row["in_use"]) for row in told] == [
        ("a", "mine", False),
        ("a", "mine", True),
        ("b", "verbalised", True),
    ]
    assert json.loads(told[2]["parameters"]) == {"temperature": 0.0, "max_tokens": 20, "seed": 0}
    assert (
        value(
            config, "SELECT count(DISTINCT labeler_version) FROM estimates SEMI JOIN labelers USING (labeler_version)"
        )
        == 3
    )


def test_a_run_that_cannot_begin_leaves_the_panel_as_it_is(tmp_path: Path) -> None:
    with faulty(says_by_prompt) as server:
        config = install(tmp_path, endpoint("e", server), labeler("a", "e"), others("e"), hypotheses=TEXTS)
        elicit.fn(config)
        settings_file(tmp_path, endpoint("e", server), labeler("b", "e", prompt="scale20"), others("e"))
        with pytest.raises(InputError, match="its answer is scale20, but the method verbalised reads probability"):
            elicit.fn(config)
    assert rows(config, "SELECT labeler, in_use FROM labelers") == [{"labeler": "a", "in_use": True}]


@pytest.mark.parametrize(
    ("stage", "parts", "says"),
    [
        (elicit, (labeler("w", "e", "pairwise", "verbalised"), others("e")), "the method pairwise reads which"),
        (judge, (labeler("a", "e"), others("e", judge='prompt = "propose"')), "the mode confidence of a judge reads"),
        (judge, (labeler("a", "e"), others("e", judge='summary_prompt = "judge"')), "summary_prompt of a judge reads"),
        (propose, (labeler("a", "e"), others("e", 'kinds = ["conjunction"]\nprompts = {conjunction = "negate"}')),
         "the kind conjunction reads conjunction"),
    ],
)  # fmt: skip
def test_a_wrong_prompt_is_said_though_nothing_is_pending(
    tmp_path: Path, stage: Any, parts: tuple[str, ...], says: str
) -> None:
    config = install(tmp_path, endpoint("e", "http://127.0.0.1:9/v1"), *parts, hypotheses=TEXTS[:1])
    with pytest.raises(InputError, match=says):
        stage.fn(config)


def test_a_dry_run_leaves_the_panel_alone(tmp_path: Path) -> None:
    config = install(tmp_path, endpoint("e", "http://127.0.0.1:9/v1"), labeler("a", "e"), others("e"), hypotheses=TEXTS)
    plan_table(load_settings(config), jobs, batch=False)
    assert value(config, "SELECT count(*) FROM labelers") == 0


def writes_by_target(handler: object) -> None:
    """One hypothesis a target, or a variant of the text that is asked about."""
    text = handler.body["messages"][-1]["content"]  # type: ignore[attr-defined]
    system = handler.body["messages"][0]["content"]  # type: ignore[attr-defined]
    if system == load_prompt("propose").opening[0]["content"]:
        target = next(word for word in text.replace(",", " ").split() if "%" in word).rstrip(".")
        found = [f"The share of dry streets is {target}."]
    else:
        found = ["It is so." if "wet" in text else "That is how it stands."]
    answers(json.dumps({"hypotheses": found}))(handler)  # type: ignore[arg-type]


def proposer(settings: str) -> str:
    return others("e", f"per_target = 1\nnear_duplicates = 0\n{settings}")


def test_a_further_target_is_asked_for_and_what_was_there_comes_from_the_ledger(tmp_path: Path) -> None:
    with faulty(writes_by_target) as server:
        rest = (endpoint("e", server), labeler("a", "e"))
        config = install(tmp_path, *rest, proposer("targets = [0.1, 0.9]"))
        assert propose.fn(config).counts["propositions"] == 2
        assert propose.fn(config).counts == {"requests": 0}
        settings_file(tmp_path, *rest, proposer("targets = [0.1, 0.9, 0.05]"))
        outcome = propose.fn(config)
        assert (outcome.counts["requests"], outcome.counts["from the ledger"]) == (3, 2)
        assert outcome.counts["propositions"] == 1
        assert server.requests == 3
        assert propose.fn(config).counts == {"requests": 0}
        # Another temperature is another call for each.
        settings_file(tmp_path, *rest, proposer("targets = [0.1, 0.9, 0.05]\ntemperature = 0.1"))
        outcome = propose.fn(config)
        assert (outcome.counts["requests"], outcome.counts["dropped"], server.requests) == (3, 3, 6)
    assert value(config, "SELECT count(*) FROM propositions") == 3
    # Of the replies that came again none is a duplicate of itself; those of the other temperature say what is there.
    assert rows(config, "SELECT reason, count(*) AS n FROM drops GROUP BY reason") == [{"reason": "duplicate", "n": 3}]


def test_a_second_kind_with_the_same_prompt_is_asked_for(tmp_path: Path) -> None:
    with faulty(writes_by_target) as server:
        rest = (endpoint("e", server), labeler("a", "e"))
        both = 'prompts = {negation = "negate", paraphrase = "negate"}\n'
        config = install(tmp_path, *rest, proposer(both + 'kinds = ["negation"]'), hypotheses=TEXTS)
        assert propose.fn(config).counts["requests"] == 2
        settings_file(tmp_path, *rest, proposer(both + 'kinds = ["negation", "paraphrase"]'))
        assert propose.fn(config).counts["requests"] == 2
        assert propose.fn(config).counts == {"requests": 0}
    assert value(config, "SELECT count(DISTINCT asker_version) FROM requests") == 2
