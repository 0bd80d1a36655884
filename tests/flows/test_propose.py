"""`odds propose` with every kind of proposition, against a stub that writes what the prompt asks for; no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.table import Table

from flows.llm_runs.dry_run import plan_table
from flows.propose import jobs, propose
from flows.settings.settings import load_settings
from synthesis.prompts.render import load_prompt
from tests.fixtures.llm_runs import COST, PRICED, endpoint, install, labeler, others, rows, settings_file, value
from tests.synthesis.faulty_endpoint import answers, faulty
from warehouse.errors import InputError

FIRST, SECOND = "The street is wet.", "There is a parade."
WRITTEN: dict[str, object] = {
    "propose": {"hypotheses": ["Somebody holds an umbrella."]},
    "strengthen": {"updates": ["The radio warns of a flood."]},
    "weaken": {"updates": ["Everything here has a roof."]},
    "negate": {"hypotheses": ["It is not so."]},
    "paraphrase": {"hypotheses": ["It is so."]},
    "conjoin": {"hypothesis": "The street is wet and there is a parade."},
    "rewrite": {"premise": "It is raining now.", "hypothesis": "It is so by now."},
}
"""What the stub writes for each prompt."""
KINDS = ["strengthened", "weakened", "negation", "paraphrase", "conjunction", "rewritten"]
PROMPT_OF = {load_prompt(name).opening[0]["content"]: name for name in WRITTEN}


def writes(handler: object) -> None:
    system = handler.body["messages"][0]["content"]  # type: ignore[attr-defined]
    answers(json.dumps(WRITTEN[PROMPT_OF[system]]))(handler)  # type: ignore[arg-type]


def made_of(kinds: list[str]) -> str:
    return f"kinds = {json.dumps(kinds)}\ntargets = [0.9]\nper_target = 1\nnear_duplicates = 0"


def plan_of(config: Path, *, batch: bool = False) -> dict[str, list[str]]:
    table, _ = plan_table(load_settings(config), jobs, batch=batch).renderables
    assert isinstance(table, Table)
    return {
        str(name): cells for name, *cells in zip(*(map(str, column.cells) for column in table.columns), strict=True)
    }


def counted(config: Path) -> tuple[int, int, int]:
    """How many propositions were made, how many texts were dropped, and how many of these as a repeat of one made."""
    return (
        value(config, "SELECT count(*) FROM propositions WHERE kind <> 'imported'"),
        value(config, "SELECT count(*) FROM drops"),
        value(
            config,
            "SELECT count(*) FROM drops d JOIN propositions p ON p.proposition_id = d.kept_id "
            "WHERE d.reason = 'duplicate'",
        ),
    )


def test_what_another_kind_or_an_earlier_run_wrote_is_a_drop_and_not_a_row_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WRITTEN, "paraphrase", WRITTEN["negate"])
    monkeypatch.setitem(WRITTEN, "weaken", WRITTEN["strengthen"])
    kinds = ["negation", "paraphrase", "strengthened", "weakened"]
    with faulty(writes) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e", made_of(kinds)))
        config = install(tmp_path, *parts, hypotheses=[FIRST, SECOND])
        outcome = propose.fn(config)
        # One negation, and an update of each parent.
        assert (outcome.counts["propositions"], outcome.counts["dropped"]) == (3, 5)
        assert counted(config) == (3, 5, 5)
        # Another proposer writes the same once more, and what stands there is all that it can write.
        monkeypatch.setitem(WRITTEN, "negate", {"hypotheses": [SECOND.upper()]})
        settings_file(tmp_path, *parts[:2], others("e", made_of(kinds) + "\nseed = 7"))
        outcome = propose.fn(config)
        assert "propositions" not in outcome.counts
        assert outcome.counts["dropped"] == 8
    assert server.requests == 16
    # Of the parent itself the text is no negation, of the other one it is what stands there.
    assert rows(config, "SELECT reason, count(*) AS n FROM drops GROUP BY reason ORDER BY reason") == [
        {"reason": "duplicate", "n": 12},
        {"reason": "equals_parent", "n": 1},
    ]


def test_a_conjunction_joins_two_hypotheses_of_a_premise_once(tmp_path: Path) -> None:
    with faulty(writes) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e", made_of(["conjunction"])))
        config = install(tmp_path, *parts, hypotheses=[FIRST, SECOND])
        outcome = propose.fn(config)
        assert outcome.counts["propositions"] == 1
        assert propose.fn(config).counts == {"requests": 0}
    assert server.requests == 1
    (made,) = rows(
        config,
        """
        SELECT
          c.hypothesis, c.split = p.split AND c.split = o.split AS same_split, [p.hypothesis, o.hypothesis] AS joined
        FROM propositions c JOIN propositions p ON p.proposition_id = c.parent_id
        JOIN propositions o ON o.proposition_id = c.other_parent_id WHERE c.kind = 'conjunction'
        """,
    )
    assert (made["hypothesis"], made["same_split"]) == ("The street is wet and there is a parade.", True)
    assert sorted(made["joined"]) == [FIRST, SECOND]


@pytest.mark.slow
def test_every_kind_is_made_of_what_was_proposed_and_the_plan_names_each(tmp_path: Path) -> None:
    with faulty(writes) as server:
        parts = (endpoint("e", server, PRICED), labeler("a", "e"), others("e", made_of(["proposed", *KINDS])))
        config = install(tmp_path, *parts, hypotheses=[FIRST])
        planned = plan_of(config)
        # What is made from the hypothesis that is still to be proposed is not foreseen, nor a conjunction with it.
        assert {name: cells[1] for name, cells in planned.items()} == {
            "p, proposed": "1",
            **{f"p, {kind}": "1" for kind in KINDS if kind != "conjunction"},
            "p, conjunction": "0",
            "all": "6",
        }
        assert server.requests == 0
        outcome = propose.fn(config)
        left = plan_of(config)
        assert {cells[1] for cells in left.values()} == {"0"}
    # Each request writes one text: it is a row or a drop. Both parents have negation, paraphrase and rewriting alike.
    assert (outcome.counts["propositions"], outcome.counts["dropped"]) == (9, 3)
    assert counted(config) == (9, 3, 3)
    made = rows(config, "SELECT kind, count(*) AS n FROM propositions WHERE kind <> 'imported' GROUP BY kind")
    assert {row["kind"] for row in made} == {"proposed", *KINDS}
    # Two parents with six kinds each, but one conjunction between them, and the premise itself.
    assert server.requests == outcome.counts["requests"] == 1 + 2 * 5 + 1
    assert outcome.cost == pytest.approx(12 * COST)
    assert value(config, "SELECT sum(cost) FROM labeler_cost WHERE purpose = 'propose'") == pytest.approx(12 * COST)
    assert "p, proposed" in plan_of(config, batch=True)


def test_the_limit_of_cost_is_one_for_both_phases_and_named_as_it_was_given(tmp_path: Path) -> None:
    with faulty(writes) as server:
        parts = (endpoint("e", server, PRICED), labeler("a", "e"), others("e", made_of(["proposed", *KINDS])))
        config = install(tmp_path, *parts, hypotheses=[FIRST])
        limit = 0.0009
        outcome = propose.fn(config, max_cost=limit)
    assert 1 < server.requests < 12
    assert outcome.stopped == f"the next request could exceed the limit of {limit}"
    assert outcome.counts["requests"] == server.requests
    assert outcome.cost == pytest.approx(server.requests * COST)


def test_a_prompt_that_does_not_fit_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with faulty(writes) as server:
        kinds = made_of(["proposed", "negation"]) + '\nprompts = {negation = "strengthen"}'
        config = install(tmp_path, endpoint("e", server), labeler("a", "e"), others("e", kinds), hypotheses=[FIRST])
        with pytest.raises(InputError, match="strengthen"):
            propose.fn(config)
    assert server.requests == 0
